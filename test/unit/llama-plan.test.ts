import t from 'tap'
import {
  blockPartOf,
  emptySlot,
  overlapOf,
  type SlotContent,
  sourcesOf,
  trimOf,
} from '../../daemon/adapters/llama/cache/plan.ts'
import { SlotTable } from '../../daemon/adapters/llama/cache/slots.ts'
import { engineQueueMax } from '../../tiers/block/limits.ts'

const row = (length: number, from = 0): Uint32Array =>
  Uint32Array.from({ length }, (_, index) => from + index)
const holds = (tokens: Uint32Array, whole: number, grows = true, tenant = 'a'): SlotContent => ({
  as: 'known',
  tenant,
  tokens,
  whole,
  grows,
})
/** The first `same` tokens of `row`, then others. */
const fork = (same: number, length: number): Uint32Array =>
  row(length).map((token, index) => (index < same ? token : token + 50_000))

void t.test('the block part is whole blocks below the end: one token is always left', (t) => {
  t.same(
    [0, 1, 64, 65, 128, 129, 1_100].map((count) => blockPartOf(count, 64)),
    [0, 0, 0, 64, 64, 128, 1_088],
  )
  t.end()
})

void t.test('only whole blocks that were computed as such are built upon', (t) => {
  const kept = (content: SlotContent, prompt: Uint32Array): number => overlapOf(content, 'a', prompt, 64).kept
  t.equal(kept(holds(row(300), 256), row(300)), 256, 'the same prompt')
  t.equal(kept(holds(row(300), 256), fork(200, 300)), 192, 'a fork within a block')
  t.equal(kept(holds(row(300), 256), row(200)), 192, 'a shorter prompt keeps one token for the tail')
  t.equal(kept(holds(row(300), 64), row(300)), 64, 'tail and answer tokens are not built upon')
  t.equal(kept(holds(row(300), 256, true, 'b'), row(300)), 0, "another tenant's")
  t.equal(kept({ as: 'unknown' }, row(300)), 0)
  t.end()
})

void t.test('a slot is cut to what may be built upon, and only when it holds more', (t) => {
  const trim = (content: SlotContent, prompt: Uint32Array): string => {
    const step = trimOf(content, 'a', prompt, overlapOf(content, 'a', prompt, 64))
    if (step.as !== 'cut') return step.as
    const known = content.as === 'known' ? content.tokens[step.at] : undefined
    t.not(step.token, known, 'the foreign token is not what the slot holds')
    t.not(step.token, prompt[step.at], 'nor what the prompt holds')
    return `cut ${step.at}`
  }
  t.equal(trim(emptySlot, row(300)), 'keep')
  t.equal(trim(holds(row(300), 256), row(300)), 'cut 256')
  t.equal(trim(holds(row(256), 256, false), row(300)), 'keep', 'a loaded slot that ends with its blocks')
  t.equal(trim(holds(row(256), 256, true), row(300)), 'cut 256', 'unless the server has appended to it')
  t.equal(trim(holds(row(300), 256), fork(192, 300)), 'keep', 'a fork at a block boundary')
  t.equal(trim(holds(row(300), 256), fork(193, 300)), 'cut 192')
  t.equal(trim(holds(row(300), 256), fork(10, 300)), 'erase', 'in common is less than a block')
  t.equal(trim(holds(row(300), 256), fork(0, 300)), 'keep', 'nothing in common')
  t.equal(
    trim(holds(row(300), 256, true, 'b'), fork(0, 300)),
    'erase',
    "another tenant's slot, whatever it holds",
  )
  t.equal(trim({ as: 'unknown' }, row(300)), 'erase')
  t.equal(trim(holds(row(300, 1), 256), row(300, 1)), 'cut 256')
  t.end()
})

void t.test('loaded blocks that the slot held count as the engine’s', (t) => {
  const loaded = { host: 2, nvme: 3, s3: 1 }
  t.same(sourcesOf(0, loaded, 640, 64), {
    resident: 0,
    loaded: 384,
    computed: 256,
    byTier: { host: 128, nvme: 192, s3: 64 },
  })
  t.same(sourcesOf(192, loaded, 640, 64), {
    resident: 192,
    loaded: 192,
    computed: 256,
    byTier: { host: 0, nvme: 128, s3: 64 },
  })
  const nothing = { host: 0, nvme: 0, s3: 0 }
  t.same(sourcesOf(192, nothing, 640, 64), { resident: 192, loaded: 0, computed: 448, byTier: nothing })
  t.end()
})

const never = new AbortController().signal

void t.test('the idle slot that keeps most is taken, else the one used longest ago', async (t) => {
  const table = new SlotTable(3, 64)
  const take = async (prompt: Uint32Array): Promise<{ index: number; release: () => void }> => {
    const taken = await table.take({ as: 'one', tenant: 'a', prompt }, never)
    if (taken.as !== 'slots') throw new Error(taken.as)
    const [slot] = taken.slots
    if (slot === undefined) throw new Error('no slot')
    slot.content = holds(prompt, blockPartOf(prompt.length, 64))
    return { index: slot.index, release: taken.release }
  }
  const first = await take(row(300))
  first.release()
  const second = await take(row(300, 9_000))
  t.not(second.index, first.index, 'another prompt goes to an empty slot')
  second.release()
  const again = await take(row(400))
  t.equal(again.index, first.index, 'the same beginning goes to the slot that has it')
  again.release()
  const third = await take(row(300, 20_000))
  t.not(third.index, first.index)
  t.not(third.index, second.index)
  third.release()
  const fourth = await take(row(300, 30_000))
  t.equal(fourth.index, second.index, 'all are full: the one used longest ago')
  fourth.release()
})

void t.test('a slot that is only being saved is waited for when it keeps more', async (t) => {
  const table = new SlotTable(2, 64)
  const first = await table.take({ as: 'one', tenant: 'a', prompt: row(300) }, never)
  if (first.as !== 'slots' || first.slots[0] === undefined) return t.fail('the first gets a slot')
  const [slot] = first.slots
  slot.content = holds(row(300), 256)
  slot.finishing = true
  const other = await table.take({ as: 'one', tenant: 'a', prompt: row(300, 9_000) }, never)
  t.equal(other.as === 'slots' && other.slots[0]?.index, 1 - slot.index, 'another prompt does not wait')
  if (other.as === 'slots') other.release()
  const next = table.take({ as: 'one', tenant: 'a', prompt: row(400) }, never)
  t.equal(table.waitingCount(), 1)
  first.release()
  const taken = await next
  t.equal(taken.as === 'slots' && taken.slots[0]?.index, slot.index)
  t.notOk(slot.finishing)
})

void t.test('waiting is in order, bounded, and ends with the client or the engine', async (t) => {
  const table = new SlotTable(1, 64)
  const one = { as: 'one', tenant: 'a', prompt: null } as const
  const held = await table.take(one, never)
  if (held.as !== 'slots') return t.fail('the first gets the slot')
  const order: string[] = []
  const gone = new AbortController()
  const leaving = table.take(one, gone.signal)
  const next = table.take({ as: 'all' }, never).then((taken) => {
    order.push('all')
    if (taken.as === 'slots') taken.release()
  })
  const last = table.take(one, never).then((taken) => {
    order.push('one')
    return taken
  })
  t.equal(table.waitingCount(), 3)
  gone.abort()
  t.same(await leaving, { as: 'gone' })
  held.release()
  held.release()
  await next
  const taken = await last
  t.same(order, ['all', 'one'])
  t.equal(taken.as, 'slots')
  t.equal(table.idleCount(), 0, 'releasing twice gives nothing back twice')
  const waiting = Array.from({ length: engineQueueMax }, () => table.take(one, never))
  t.same(await table.take(one, never), { as: 'full' })
  table.close()
  t.ok((await Promise.all(waiting)).every((each) => each.as === 'gone'))
  t.same(await table.take(one, never), { as: 'gone' })
})
