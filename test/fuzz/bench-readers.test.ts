import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { Chance } from '../../bench/chance.ts'
import { InputError } from '../../bench/failure.ts'
import { formats } from '../../bench/trace/formats.ts'
import { loadTree } from '../../bench/trace/load.ts'
import { expandTrace } from '../../bench/trace/trace.ts'
import { capturedIo } from '../traces.ts'

/** One valid input per format; each is damaged many times. */
const samples: Readonly<Record<string, Buffer>> = {
  mooncake: Buffer.from(
    '{"timestamp":0,"input_length":30,"output_length":5,"hash_ids":[0,1],"session_id":"a"}\n{"timestamp":1,"input_length":44,"output_length":5,"hash_ids":[0,1,2]}\n',
  ),
  bailian: Buffer.from(
    '{"chat_id":1,"parent_chat_id":-1,"timestamp":6.5,"input_length":30,"output_length":9,"type":"text","turn":1,"hash_ids":[5,6]}\n',
  ),
  lmcache: Buffer.from('{"timestamp":1.5,"chunk_size":256,"seq_len":600,"chunk_hashes":["0xaa","0xbb"]}\n'),
  'kv-events': Buffer.from(
    '[1.5,[{"type":"BlockStored","block_hashes":[1,2],"parent_block_hash":null,"block_size":4}],0]\n[2,[["BlockStored",[3],2,[],4]]]\n',
  ),
  'kv-events-msgpack': Buffer.from(
    '93cb3ff80000000000009188a474797065ab426c6f636b53746f726564ac626c6f636b5f68617368657391cfcb38e4d7fb2dca5c' +
      'b1706172656e745f626c6f636b5f68617368c0a9746f6b656e5f6964739401020304aa626c6f636b5f73697a6504a76c6f72615f' +
      '6964c0a66d656469756da3475055a96c6f72615f6e616d65c000',
    'hex',
  ),
  weka: Buffer.from(
    '{"id":"x","block_size":64,"hash_id_scope":"local","tool_tokens":130,"requests":[{"t":0,"in":200,"out":5,"hash_ids":[1,2,3]},{"t":3,"type":"subagent","requests":[{"t":1,"in":64,"out":1,"hash_ids":[9]}]}]}',
  ),
  azure: Buffer.from(
    'TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.97,4808,10\n2023-11-16 18:17:04,3180,8\n',
  ),
  burstgpt: Buffer.from('Timestamp,Model,Request tokens,Response tokens\n5,ChatGPT,472,18\n'),
  openai: Buffer.from('{"timestamp":1,"body":{"messages":[{"role":"user","content":"hello"}]}}\n'),
}

const roundsPerFormat = 100

t.same(
  Object.keys(samples),
  formats.map(({ name }) => name),
  'every format has a sample',
)

for (const format of formats) {
  void t.test(`${format.name}: damaged input ends in a trace or in one clear error`, async (t) => {
    const chance = new Chance(format.name.length)
    const path = join(t.testdir(), 'input')
    const sample = samples[format.name] ?? Buffer.alloc(0)
    writeFileSync(path, sample)
    t.equal(
      (await loadTree(path, {}, capturedIo())).format,
      format.name,
      'the undamaged sample is recognised',
    )
    let refused = 0
    for (let round = 0; round < roundsPerFormat; round += 1) {
      writeFileSync(path, damaged(sample, chance))
      try {
        const told = chance.says(0.5) ? format.name : null
        const { tree } = await loadTree(path, { format: told, skipBad: chance.says(0.3) }, capturedIo())
        const trace = expandTrace(tree)
        if (trace.starts.at(-1) !== tree.referenceCount) t.fail(`round ${round}: the columns disagree`)
      } catch (error) {
        refused += 1
        if (!(error instanceof InputError)) t.fail(`round ${round}: ${String(error)}`)
      }
    }
    t.ok(refused > 0, `${refused} of ${roundsPerFormat} refused`)
  })
}

function damaged(sample: Buffer, chance: Chance): Buffer {
  const bytes = Buffer.from(sample)
  const kind = chance.whole(0, 4)
  if (kind === 0) return bytes.subarray(0, chance.whole(0, bytes.length))
  if (kind === 1) return gzipSync(bytes).subarray(0, chance.whole(1, 60))
  if (kind === 2) {
    const at = chance.whole(0, bytes.length)
    return Buffer.concat([bytes.subarray(0, at), bytes.subarray(chance.whole(0, at)), bytes])
  }
  const times = kind === 3 ? 1 : chance.whole(2, 8)
  for (let time = 0; time < times; time += 1) bytes[chance.whole(0, bytes.length - 1)] = chance.whole(0, 255)
  return bytes
}
