import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import t from 'tap'
import { InputError } from '../../bench/failure.ts'
import { type InputOptions, type Loaded, loadTree } from '../../bench/trace/load.ts'
import { expandTrace } from '../../bench/trace/trace.ts'
import { capturedIo, sharedTrace } from '../traces.ts'

const native = [
  '{"timestamp": 0, "input_length": 1100, "output_length": 5, "hash_ids": [0, 1, 2]}',
  '{"timestamp":10,"input_length":1024,"output_length":6,"hash_ids":[0,1],"session_id":7,"delay":3,"tenant":"chat"}',
  '{"timestamp":20.5,"input_length":1500,"output_length":7,"hash_ids":[0,18446744073709551615,2]}',
]

async function read(
  t: Tap,
  text: string | Buffer,
  options: InputOptions = {},
  name = 'trace.jsonl',
): Promise<Loaded> {
  const path = join(t.testdir(), name)
  writeFileSync(path, text)
  return await loadTree(path, options, capturedIo())
}
type Tap = { testdir: () => string }

async function refusal(
  t: Tap,
  text: string | Buffer,
  options: InputOptions = {},
  name?: string,
): Promise<string> {
  try {
    await read(t, text, options, name)
  } catch (error) {
    if (error instanceof InputError) return error.message
    throw error
  }
  return ''
}

/** Ids per request, as numbers of first appearance. */
function pathsOf(loaded: Loaded): number[][] {
  const trace = expandTrace(loaded.tree)
  return Array.from({ length: trace.requestCount }, (_, request) => {
    return [...trace.refs.subarray(trace.starts[request], trace.starts[request + 1])]
  })
}

void t.test('native lines: blocks by (parent, id), every column, both parsers', async (t) => {
  const loaded = await read(t, native.join('\n'))
  t.equal(loaded.format, 'mooncake')
  t.equal(loaded.tree.blockTokens, 512)
  t.same(
    pathsOf(loaded),
    [
      [0, 1, 2],
      [0, 1],
      [0, 3, 4],
    ],
    'the last 2 follows another parent: another block',
  )
  t.same([...loaded.tree.arrivalMs], [0, 10, 20.5])
  t.same([...loaded.tree.inputTokens], [1100, 1024, 1500])
  t.same([...(loaded.tree.session ?? [])], [-1, 0, -1])
  t.same([...(loaded.tree.delayMs ?? [])], [-1, 3, -1])
  t.same(loaded.tree.tenantNames, ['chat'])
})

void t.test('compressed inputs are recognised by their bytes, not their names', async (t) => {
  const text = Buffer.from(native.join('\n'))
  for (const [name, packed] of [
    ['gzip', gzipSync(text)],
    ['zstd', zstdCompressSync(text)],
  ] as const) {
    const loaded = await read(t, packed, {}, 'trace')
    t.equal(loaded.tree.referenceCount, 8, name)
    const cut = packed.subarray(0, packed.length - 20)
    t.match(await refusal(t, cut, {}, 'trace'), new RegExp(`^trace is (cut off|damaged): ${name} says`))
  }
})

void t.test('xz goes through the xz program', async (t) => {
  const packed = spawnSync('xz', ['--stdout'], { input: native.join('\n') })
  if (packed.status !== 0) {
    t.pass('skipped: the xz program is not installed')
    return
  }
  t.equal((await read(t, packed.stdout, {}, 'trace')).tree.referenceCount, 8)
  t.match(
    await refusal(t, packed.stdout.subarray(0, 60), {}, 'trace'),
    /^trace is (cut off|damaged): xz says/,
  )
})

void t.test('turns that name only a delay follow their session; minimal lines are enough', async (t) => {
  const turns = [
    '{"session_id":"a","timestamp":1000,"input_length":16,"output_length":1,"hash_ids":[1]}',
    '{"session_id":"a","delay":5000,"input_length":32,"output_length":1,"hash_ids":[1,2]}',
    '{"session_id":"b","timestamp":2000,"input_length":16,"output_length":1,"hash_ids":[1]}',
    '{"session_id":"b","delay":100,"input_length":32,"output_length":1,"hash_ids":[1,3]}',
  ]
  const loaded = await read(t, turns.join('\n'))
  t.same([...loaded.tree.arrivalMs], [1000, 2000, 2100, 6000], 'in order of arrival')
  t.same(pathsOf(loaded), [[0], [0], [0, 1], [0, 2]])
  t.ok(loaded.assumed.some((sentence) => /^2 requests name no time/.test(sentence)))
  const minimal = await read(t, '{"block_size":64,"hash_ids":[2001,2002],"input_length":100}\n')
  t.equal(minimal.tree.blockTokens, 64)
})

void t.test('a byte order mark, blank lines and Windows line ends do no harm', async (t) => {
  const loaded = await read(t, `\ufeff${native.join('\r\n\r\n')}\r\n`)
  t.equal(loaded.tree.requestCount, 3)
})

void t.test('a folder is read file by file, in order of names; errors name the file', async (t) => {
  const folder = t.testdir({
    'b.jsonl': native[1] ?? '',
    'a.jsonl': native[0] ?? '',
    '.hidden': 'x',
    deeper: { 'c.jsonl': 'x' },
  })
  const { tree } = await loadTree(folder, {}, capturedIo())
  t.same([...tree.inputTokens], [1100, 1024])
  writeFileSync(join(folder, 'c.jsonl'), 'broken\n')
  await t.rejects(
    loadTree(folder, {}, capturedIo()),
    /^InputError: c\.jsonl:1: not JSON|c\.jsonl:1: not JSON/,
  )
  const header = 'TIMESTAMP,ContextTokens,GeneratedTokens\n'
  const csv = t.testdir({ '1.csv': `${header}1,2,3\n`, '2.csv': `${header}4,5,6\n` })
  t.equal((await loadTree(csv, {}, capturedIo())).tree.requestCount, 2)
})

void t.test('a broken line is named by file and line; --skip-bad counts it', async (t) => {
  const text = [native[0], '{"timestamp": 1, "input_length": }', native[1], ''].join('\n')
  t.match(await refusal(t, text), /^trace\.jsonl:2: not JSON .*--skip-bad/s)
  const loaded = await read(t, text, { skipBad: true })
  t.equal(loaded.tree.requestCount, 2)
  t.equal(loaded.skippedCount, 1)
  t.ok(loaded.assumed.some((sentence) => sentence === '1 lines skipped as unreadable'))
})

void t.test('wrong fields are named', async (t) => {
  const line = (fields: object): string =>
    `${native[0]}\n${JSON.stringify({ timestamp: 1, input_length: 1, output_length: 1, hash_ids: [1], ...fields })}`
  t.match(
    await refusal(t, line({ timestamp: -1 })),
    /:2: field "timestamp" must be a number of at least 0, it is -1/,
  )
  t.match(await refusal(t, line({ input_length: 1.5 })), /field "input_length" must be a whole number/)
  t.match(await refusal(t, line({ hash_ids: 'x' })), /field "hash_ids" must be a list of block ids/)
  t.match(
    await refusal(t, line({ hash_ids: [1, null] })),
    /field "hash_ids\[1\]" must be an integer or a string/,
  )
  t.match(await refusal(t, line({ input_length: undefined })), /field "input_length" .* it is missing/)
})

void t.test('empty, foreign, cut and absent files say what was expected', async (t) => {
  t.match(await refusal(t, ''), /is empty; expected one of:\n {2}mooncake: /)
  t.match(await refusal(t, 'hello\nworld\n'), /is in no known format; expected one of:/)
  t.match(await refusal(t, Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])), /is in no known format/)
  t.match(await refusal(t, `${native[0]}\n${native[1]?.slice(0, 40)}`), /:2: .*the file may be cut off/s)
  await t.rejects(loadTree('/nowhere/trace', {}, capturedIo()), {
    name: 'InputError',
    message: 'no file "/nowhere/trace"',
  })
  await t.rejects(loadTree(t.testdir(), {}, capturedIo()), /the folder ".*" holds no file/)
  t.match(await refusal(t, native[0] ?? '', { format: 'moncake' }), /--format: unknown "moncake"/)
})

void t.test('Bailian: seconds, 16 tokens, turns of one conversation', async (t) => {
  const loaded = await read(
    t,
    [
      '{"chat_id":1,"parent_chat_id":-1,"timestamp":61.5,"input_length":30,"output_length":9,"type":"text","turn":1,"hash_ids":[5,6]}',
      '{"chat_id":2,"parent_chat_id":1,"timestamp":70,"input_length":40,"output_length":9,"type":"text","turn":2,"hash_ids":[5,6,7]}',
      '{"chat_id":3,"parent_chat_id":-1,"timestamp":71,"input_length":16,"output_length":9,"type":"text","turn":1,"hash_ids":[9]}',
    ].join('\n'),
  )
  t.equal(loaded.format, 'bailian')
  t.equal(loaded.tree.blockTokens, 16)
  t.same([...(loaded.tree.session ?? [])], [0, 0, 1])
  t.equal(loaded.tree.arrivalMs[0], 61_500)
})

void t.test('LMCache lookup logs: hex hashes, chunk size from the lines', async (t) => {
  const line = (hashes: string[], size = 256): string =>
    JSON.stringify({ timestamp: 1.5, model_name: 'm', chunk_size: size, seq_len: 600, chunk_hashes: hashes })
  const loaded = await read(t, `${line(['0xaa', '0xbb'])}\n${line(['0xaa', '0xcc'])}\n`)
  t.equal(loaded.format, 'lmcache')
  t.equal(loaded.tree.blockTokens, 256)
  t.same(pathsOf(loaded), [
    [0, 1],
    [0, 2],
  ])
  t.match(await refusal(t, `${line(['0xaa'])}\n${line(['0xaa'], 512)}`), /chunk_size changes from 256 to 512/)
})

void t.test('WEKA sessions: sub-agents, shared tool definitions, isolation', async (t) => {
  const session = (id: string): object => ({
    id,
    block_size: 64,
    hash_id_scope: 'local',
    tool_tokens: 130,
    requests: [
      { t: 0, type: 's', in: 200, out: 5, hash_ids: [1, 2, 3] },
      {
        t: 3,
        type: 'subagent',
        agent_id: 'a',
        requests: [{ t: 1, type: 'n', in: 64, out: 1, hash_ids: [9] }],
      },
      { t: 7_200, type: 's', in: 256, out: 5, hash_ids: [1, 2, 3, 4], think_time: 1.5 },
    ],
  })
  const one = await read(t, JSON.stringify(session('x')), {}, 'x.json')
  t.equal(one.tree.requestCount, 3)
  t.same([...one.tree.arrivalMs], [0, 4_000, 1_803_000], 'the long pause is cut to 30 minutes')
  const both = tarOf({ 'a.json': JSON.stringify(session('x')), 'b.json': JSON.stringify(session('y')) })
  t.equal(
    (await read(t, both, {}, 'all.tar')).tree.nodeCount,
    2 + 2 * 3,
    'the two blocks of tools are shared',
  )
  t.equal((await read(t, gzipSync(both), { isolateSessions: true }, 'all')).tree.nodeCount, 2 * 5)
  t.match(await refusal(t, both.subarray(0, both.length - 1_024), {}, 'all.tar'), /the archive is cut off/)
  t.match(await refusal(t, both.subarray(0, 700), {}, 'all.tar'), /the archive is cut off in "a\.json"/)
})

/** A tar archive of a few files. */
function tarOf(files: Readonly<Record<string, string>>): Buffer {
  const parts: Buffer[] = []
  for (const [name, text] of Object.entries(files)) {
    const head = Buffer.alloc(512)
    head.write(name, 0)
    head.write(text.length.toString(8).padStart(11, '0'), 124)
    head.write('0', 156)
    head.write('ustar', 257)
    const body = Buffer.alloc(Math.ceil(text.length / 512) * 512)
    body.write(text)
    parts.push(head, body)
  }
  return Buffer.concat([...parts, Buffer.alloc(1_024)])
}

void t.test('arrivals: Azure and BurstGPT name no blocks and say so', async (t) => {
  const azure = await read(
    t,
    'TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:17:03.9799600,4808,10\r\n2023-11-16 18:17:04.0319600,3180,8\r\n',
  )
  t.equal(azure.format, 'azure')
  t.equal(Math.round((azure.tree.arrivalMs[1] ?? 0) * 10) / 10, 52)
  t.equal(azure.tree.referenceCount, 0)
  t.ok(azure.assumed.some((sentence) => /no hit rate can be measured/.test(sentence)))
  const burst = await read(
    t,
    'Timestamp,Session ID,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,1,ChatGPT,472,18,490,Conversation log\n',
  )
  t.equal(burst.format, 'burstgpt')
  t.equal(burst.tree.inputTokens[0], 472)
  const images = await read(
    t,
    'TIMESTAMP,NumImages,ContextTokens,GeneratedTokens\n2024-10-15 00:00:00.1+00:00,2,300,7\n',
  )
  t.same([images.format, images.tree.inputTokens[0]], ['azure', 300])
  const sessions = await read(
    t,
    'Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n' +
      '19440110.0,1722ac82-0a46,43,GPT-4,906,446,1352,Conversation log\n19440161.5,,2,ChatGPT,36,0,36,API log\n',
  )
  t.same([...sessions.tree.arrivalMs], [0, 51_500])
  t.same([...(sessions.tree.session ?? [])], [0, -1])
  t.same(sessions.tree.tenantNames, ['GPT-4', 'ChatGPT'])
  t.match(await refusal(t, 'TIMESTAMP,ContextTokens,GeneratedTokens\nsoon,1,1\n'), /:2: "soon" is no time/)
})

void t.test('KV events: maps, lists, MessagePack; a stored chain is one request', async (t) => {
  const stored = (hashes: number[], parent: number | null): object => ({
    type: 'BlockStored',
    block_hashes: hashes,
    parent_block_hash: parent,
    token_ids: [],
    block_size: 4,
  })
  const lines = [
    JSON.stringify([1.5, [stored([11, 12], null)], 0]),
    JSON.stringify([
      2.5,
      [['BlockStored', [13], 12, [], 4, null], { type: 'BlockRemoved', block_hashes: [11] }],
      0,
    ]),
    JSON.stringify({ ts: 3, events: [stored([14], 11)] }),
  ].join('\n')
  const loaded = await read(t, lines)
  t.equal(loaded.format, 'kv-events')
  t.same(
    pathsOf(loaded),
    [
      [0, 1, 2],
      [0, 3],
    ],
    'what continues a chain within two seconds is the same request',
  )
  const later = [
    JSON.stringify([1.5, [stored([11, 12], null)], 0]),
    JSON.stringify([3.6, [stored([13], 12)], 0]),
    JSON.stringify([3.7, [stored([13], 12)], 1]),
  ]
  t.same(
    pathsOf(await read(t, later.join('\n'))),
    [
      [0, 1],
      [0, 1, 2],
      [0, 1, 2],
    ],
    'after that, another; as on another rank',
  )
  const packed = Buffer.from(
    '93cb3ff80000000000009188a474797065ab426c6f636b53746f726564ac626c6f636b5f68617368657391cfcb38e4d7fb2dca5c' +
      'b1706172656e745f626c6f636b5f68617368c0a9746f6b656e5f6964739401020304aa626c6f636b5f73697a6504a76c6f72615f' +
      '6964c0a66d656469756da3475055a96c6f72615f6e616d65c000',
    'hex',
  )
  const binary = await read(t, Buffer.concat([packed, packed]), {}, 'events.msgpack')
  t.equal(binary.format, 'kv-events-msgpack')
  t.equal(binary.tree.nodeCount, 1)
  t.equal(binary.tree.requestCount, 2, 'a chain stored again from its root is another request')
  t.match(await refusal(t, packed.subarray(0, 60), { format: 'kv-events-msgpack' }), /cut off/)
})

void t.test('OpenAI logs: cut by characters, text dropped, answers left out', async (t) => {
  const words = 'abcdefghijklmnopqrstuvwxyz'.repeat(10)
  const line = (text: string, extra: object = {}): string =>
    JSON.stringify({
      timestamp: '2026-01-01T00:00:01Z',
      body: { messages: [{ role: 'user', content: text }] },
      ...extra,
    })
  const loaded = await read(
    t,
    `${line(words)}\n${line(`${words} and more`, { usage: { completion_tokens: 4 } })}\n`,
  )
  t.equal(loaded.format, 'openai')
  t.equal(loaded.tree.blockTokens, 16)
  const [first = [], second = []] = pathsOf(loaded)
  t.same(second.slice(0, 4), first.slice(0, 4), 'the common prefix has the same blocks')
  t.equal(loaded.tree.outputTokens[1], 4)
  t.equal((await read(t, JSON.stringify({ prompt: 'hello', user: 'u' }))).tree.tenantNames[0], 'u')
  const long = await read(t, JSON.stringify({ prompt: words.repeat(5_000) }))
  t.equal(long.format, 'openai', 'a first line of more than a megabyte')
  const microseconds = [1_700_000_000_000_000, 1_700_000_000_250_000]
  const logged = microseconds.map((timestamp) =>
    JSON.stringify({ timestamp, session_id: 's', input: words, output: 'abcdefgh' }),
  )
  const log = await read(t, logged.join('\n'))
  t.same([...log.tree.arrivalMs], [0, 250], 'a log of prompts as text, in microseconds')
  t.same([...log.tree.outputTokens], [2, 2])
})

void t.test(
  'the shared session archive has the published shape',
  { skip: sharedTrace('miniswe').skip },
  async (t) => {
    const path = join(sharedTrace('miniswe').path ?? '', '../claude-code-sessions-dev.tar.gz')
    const loaded = await loadTree(path, { isolateSessions: true }, capturedIo())
    t.equal(loaded.tree.requestCount, 3_465)
    t.equal(loaded.tree.blockTokens, 64)
  },
)
