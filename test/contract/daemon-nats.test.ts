import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '@nats-io/transport-node'
import t, { type Test } from 'tap'
import { lineLog } from '../../daemon/log.ts'
import { daemonMeter } from '../../daemon/metrics.ts'
import { NatsEvents } from '../../daemon/nats.ts'
import { Publisher } from '../../daemon/publish.ts'
import { realWorld } from '../../tiers/block/clock.ts'
import { decodeBatch, decodeSnapshot, type KvEvent } from '../../tiers/block/event.ts'
import type { RouteHash } from '../../tiers/block/route.ts'
import { type Child, startChild } from '../servers/child.ts'
import { shortFolder } from '../servers/daemon-process.ts'
import { freePortPairs } from '../servers/ports.ts'

const program = resolve(import.meta.dirname, '../../.terrace/servers/bin/nats-server')
const holder = { tier: 'host', worker: '', model: 'm', blockTokens: 4, blockBytes: 512 } as const

function startNats(folder: string, port: number, token: string): Child {
  const words = ['-a', '127.0.0.1', '-p', String(port), '--auth', token]
  return startChild({ program, words, directory: folder, environment: {}, log: join(folder, 'nats.log') })
}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let i = 0; i < 1_000; i++) {
    if (holds()) return
    await sleep(10)
  }
  throw new Error(`never happened: ${what}`)
}

function publishing(t: Test, url: string, token: string) {
  const meter = daemonMeter()
  const lines: string[] = []
  const held: RouteHash[] = []
  const publisher = new Publisher({
    world: realWorld,
    meter,
    publisher: 'node.1',
    epoch: 'e1',
    holdings: () => [{ kind: 'stored', holder, blocks: held }],
  })
  const log = lineLog(realWorld, false, (line) => lines.push(line))
  const nats = new NatsEvents({ world: realWorld, publisher, meter, log })
  nats.start(url, token)
  t.teardown(() => nats.stop())
  return {
    nats,
    meter,
    lines,
    publisher,
    store(count: number): void {
      const blocks = Array.from(
        { length: count },
        (_, i) => (held.length + i).toString(16).padStart(16, '0') as RouteHash,
      )
      held.push(...blocks)
      const event: KvEvent = { kind: 'stored', holder, blocks }
      publisher.publish([event])
      publisher.flush()
    },
  }
}

void t.test(
  'events go out on NATS, and gaps of its absence can be healed',
  { skip: !existsSync(program) },
  async (t) => {
    const folder = shortFolder(t)
    const [port = 0] = await freePortPairs(1)
    const token = 'CANARY-token'
    const url = `nats://127.0.0.1:${port}`
    // The daemon starts first: it must serve without its broker.
    const daemon = publishing(t, url, token)
    daemon.store(1)
    t.equal(daemon.meter.valueOf('terrace_nats_dropped_batches_total'), 1)
    let server = startNats(folder, port, token)
    t.teardown(() => server.kill())
    await until('the daemon reached NATS', () => daemon.nats.isReached)
    const options = {
      servers: url,
      token,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 50,
      waitOnFirstConnect: true,
    }
    const reader = await connect(options)
    t.teardown(() => reader.close())
    const sequences: number[] = []
    const beats: unknown[] = []
    reader.subscribe('terrace.events.node_1', {
      callback: (_error, message) => {
        const batch = decodeBatch(message.string())
        if (batch.as === 'refused') t.fail(batch.why)
        else sequences.push(batch.value.sequence)
      },
    })
    reader.subscribe('terrace.beat.*', { callback: (_error, message) => void beats.push(message.json()) })
    await reader.flush()
    daemon.store(100)
    await until('the batch came', () => sequences.length === 1)
    t.strictSame(sequences, [2], 'the first was lost, and its number says so')
    await until('a beat came', () => beats.length > 0)
    t.match(beats.at(-1), { publisher: 'node.1', epoch: 'e1', sequence: 2 })

    daemon.store(60_000)
    await until('large batches came', () => sequences.at(-1) === daemon.publisher.sequence)
    const parts: string[] = []
    const inbox = 'snapshot-inbox'
    reader.subscribe(inbox, { callback: (_error, message) => void parts.push(message.string()) })
    reader.publish('terrace.snapshot.node_1', '', { reply: inbox })
    await until(
      'all parts came',
      () => parts.length > 0 && parts.length === JSON.parse(parts[0] ?? '').partCount,
    )
    t.ok(parts.length > 1)
    let blocks = 0
    for (const part of parts) {
      const snapshot = decodeSnapshot(part, 1_000_000)
      if (snapshot.as === 'refused') throw new Error(snapshot.why)
      t.equal(snapshot.value.sequence, daemon.publisher.sequence)
      for (const holding of snapshot.value.holdings) blocks += holding.blocks.length
    }
    t.equal(blocks, 60_101)

    await server.kill()
    await until('the daemon noticed', () => !daemon.nats.isReached)
    const before = daemon.meter.valueOf('terrace_nats_dropped_batches_total')
    daemon.store(1)
    t.equal(daemon.meter.valueOf('terrace_nats_dropped_batches_total'), before + 1, 'nothing piles up')
    server = startNats(folder, port, token)
    await until('the daemon came back', () => daemon.nats.isReached)
    await until('the reader came back', () => !reader.isClosed())
    await reader.flush()
    daemon.store(1)
    await until('events go on', () => sequences.at(-1) === daemon.publisher.sequence)
    t.notMatch(daemon.lines.join(''), /CANARY/)
  },
)
