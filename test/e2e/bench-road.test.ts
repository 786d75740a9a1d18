import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { benchMain } from '../../bench/main.ts'
import { loadTree } from '../../bench/trace/load.ts'
import { capturedIo } from '../traces.ts'
import { System } from './system.ts'

/** The live commands of the bench against a real system: real engines, daemon and router. */

t.setTimeout(400_000)

type Row = Readonly<Record<'step' | 'from', string>> & {
  readonly promptTokens: number
  readonly cachedTokens: number
  readonly sameAnswer: boolean | null
  readonly failed: string | null
}

async function bench(
  stop: AbortSignal,
  words: readonly string[],
  onNote: (text: string) => void = () => undefined,
) {
  const captured = capturedIo()
  const note = (text: string): void => {
    captured.note(text)
    onNote(text)
  }
  const io = { ...captured, note, stop, nowMs: () => performance.now() }
  return { code: await benchMain(words, io), out: captured.outText(), note: captured.noteText() }
}

const trace = [
  { timestamp: 0, input_length: 200, output_length: 2, hash_ids: [0, 1, 2, 3], session_id: 1 },
  { timestamp: 50, input_length: 240, output_length: 2, hash_ids: [0, 1, 2, 4], session_id: 1 },
  { timestamp: 90, input_length: 240, output_length: 2, hash_ids: [0, 1, 2, 4], session_id: 1 },
]

void t.test('e2e, replay and record against a running system', async (t) => {
  const directory = t.testdir()
  const system = await System.start({ directory })
  t.teardown(() => system.stop())
  const never = new AbortController().signal

  const e2e = await bench(never, ['e2e', '--data', system.data, '--tokens', '400', '--json'])
  const rows = JSON.parse(e2e.out).rows as Row[]
  t.same(
    rows.map(({ step }) => step),
    ['cold', 'engine', 'other engine', 'restart'],
    e2e.note,
  )
  t.ok(
    rows.every(({ failed, sameAnswer }) => failed === null && sameAnswer !== false),
    'every answer is the same',
  )
  t.equal(rows[0]?.from, 'computed')
  t.match(rows[1]?.from, 'engine')
  t.match(rows[2]?.from, 'host')
  t.match(rows[3]?.from, 'nvme')
  t.ok(rows.slice(1).every(({ cachedTokens, promptTokens }) => cachedTokens > promptTokens / 2))

  const path = join(directory, 'trace.jsonl')
  writeFileSync(path, `${trace.map((line) => JSON.stringify(line)).join('\n')}\n`)
  const closed = ['--mode', 'closed', '--clients', '1', '--json', '--block-tokens', '64']
  const replay = await bench(never, ['replay', path, '--url', `${system.url}/v1`, ...closed])
  const replayed = JSON.parse(replay.out)
  t.equal(replay.code, 0)
  t.equal(replayed.answered, 3)
  t.ok(replayed.hitRate > 0.3, `the equal beginnings were not computed again: ${replayed.hitRate}`)

  const stop = new AbortController()
  const output = join(directory, 'mine.jsonl')
  const passed = new Promise<void>((resolve, reject) => {
    const onNote = (text: string): void => {
      const address = /recording: (\S+)/.exec(text)?.[1]
      if (address === undefined) return
      bench(never, ['replay', path, '--url', address, ...closed])
        .then(({ code }) => t.equal(code, 0))
        .then(() => stop.abort())
        .catch(reject)
    }
    bench(stop.signal, ['record', '--upstream', `${system.url}/v1`, '--output', output], onNote)
      .then(({ code }) => t.equal(code, 0))
      .then(() => resolve())
      .catch(reject)
  })
  await passed
  const { tree } = await loadTree(output, {}, capturedIo())
  t.equal(tree.requestCount, 3)
  t.ok(tree.nodeCount < tree.referenceCount, 'the common beginning was recorded as the same blocks')
  t.same([...tree.outputTokens], [2, 2, 2])
})
