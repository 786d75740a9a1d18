import fc from 'fast-check'
import t from 'tap'
import { Holdings } from '../../router/holdings.ts'
import { modelSeed, PrefixIndex } from '../../router/prefix-index.ts'
import { realWorld } from '../../tiers/block/clock.ts'
import type { EventBatch, EventSnapshot, Holder, KvEvent } from '../../tiers/block/event.ts'
import { type RouteHash, routeScheme } from '../../tiers/block/route.ts'

const holders: readonly Holder[] = (['a', 'b', ''] as const).flatMap((worker) =>
  ['small', 'large'].map((model) => ({
    tier: worker === '' ? 'host' : 'hbm',
    worker,
    model,
    blockTokens: 16,
    blockBytes: 1_024,
  })),
)
const blocks = Array.from({ length: 12 }, (_, i) => `00000000000000${(i + 16).toString(16)}` as RouteHash)

/** A publisher whose state is plain sets. */
class Publisher {
  epoch = 1
  sequence = 0
  readonly held = new Map<Holder, Set<RouteHash>>()

  publish(event: KvEvent): EventBatch {
    const set = this.held.get(event.holder) ?? new Set()
    this.held.set(event.holder, set)
    if (event.kind === 'cleared') set.clear()
    else if (event.kind === 'stored') for (const block of event.blocks) set.add(block)
    else for (const block of event.blocks) set.delete(block)
    this.sequence += 1
    return { ...this.#head(), events: [event] }
  }

  restart(): void {
    this.epoch += 1
    this.sequence = 0
    this.held.clear()
  }

  snapshot(): EventSnapshot {
    const holdings = [...this.held].map(([holder, set]) => ({ holder, blocks: [...set] }))
    return { ...this.#head(), holdings }
  }

  #head(): Omit<EventBatch, 'events'> {
    return {
      version: 1,
      publisher: 'n',
      epoch: String(this.epoch),
      sequence: this.sequence,
      scheme: routeScheme,
    }
  }
}

type Op = {
  readonly kind: 'stored' | 'removed' | 'cleared' | 'restart'
  readonly holder: number
  readonly from: number
  readonly count: number
  /** What the network does with the batch. */
  readonly fate: 'delivered' | 'lost' | 'twice'
}

const op: fc.Arbitrary<Op> = fc.record({
  kind: fc.constantFrom('stored', 'stored', 'stored', 'removed', 'removed', 'cleared', 'restart'),
  holder: fc.integer({ min: 0, max: holders.length - 1 }),
  from: fc.integer({ min: 0, max: blocks.length - 1 }),
  count: fc.integer({ min: 1, max: 6 }),
  fate: fc.constantFrom('delivered', 'delivered', 'delivered', 'lost', 'twice'),
})

/** As the follower does: whatever is not the next batch or an old one is healed by a snapshot. */
async function receive(reader: Holdings, batch: EventBatch, publisher: Publisher): Promise<void> {
  const judged = reader.apply(batch)
  if (judged === 'gap' || judged === 'epoch') await reader.replace(publisher.snapshot())
}

function sameAs(index: PrefixIndex, reader: Holdings, publisher: Publisher): boolean {
  const known = new Map([...reader.all()].map((held) => [JSON.stringify(held.holder), held.id]))
  for (const holder of holders) {
    const id = known.get(JSON.stringify(holder))
    const truth = publisher.held.get(holder) ?? new Set()
    for (const block of blocks) {
      const set = index.setOf(modelSeed(holder.model), block)
      if ((id !== undefined && index.has(set, id)) !== truth.has(block)) return false
    }
  }
  return true
}

void t.test(
  'after lost, repeated and healed batches, restarts and sweeps, the index is what the publisher holds',
  async (t) => {
    await fc.assert(
      fc.asyncProperty(fc.array(op, { maxLength: 80 }), async (ops) => {
        const index = new PrefixIndex(2 ** 20)
        const reader = new Holdings(realWorld, index)
        const publisher = new Publisher()
        await reader.replace(publisher.snapshot())
        let missed = false
        for (const { kind, holder: at, from, count, fate } of ops) {
          const holder = holders[at]
          if (holder === undefined) continue
          if (kind === 'restart') {
            publisher.restart()
            missed = true
            continue
          }
          const named = blocks.slice(from, from + count)
          const batch = publisher.publish(
            kind === 'stored'
              ? { kind, holder, blocks: named }
              : kind === 'removed'
                ? { kind, holder, blocks: named, why: 'evicted' }
                : { kind, holder, why: 'session_end' },
          )
          if (fate === 'lost') {
            missed = true
            continue
          }
          await receive(reader, batch, publisher)
          if (fate === 'twice') await receive(reader, batch, publisher)
          missed = false
          index.sweepStep()
          if (!sameAs(index, reader, publisher)) return false
        }
        if (missed) await reader.replace(publisher.snapshot())
        while (index.sweepStep());
        const named = new Set(
          [...publisher.held].flatMap(([{ model }, set]) => [...set].map((block) => `${model} ${block}`)),
        )
        return sameAs(index, reader, publisher) && index.blockCount === named.size
      }),
      { numRuns: 300 },
    )
    t.pass('300 histories')
  },
)
