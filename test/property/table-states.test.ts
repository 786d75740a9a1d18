import fc from 'fast-check'
import t from 'tap'
import { Arena } from '../../tiers/arena.ts'
import type { BlockKey, NamespaceId, Slot } from '../../tiers/block/id.ts'
import { leaseMsMax, slotPageBytes } from '../../tiers/block/limits.ts'
import type { RouteHash } from '../../tiers/block/route.ts'
import { noRow, type Row } from '../../tiers/policy/eviction.ts'
import { policyNamed } from '../../tiers/policy/register.ts'
import { BlockTable, type Identity, type Pinned } from '../../tiers/table.ts'

const slots = 6

function tableOf(policyName = 'lru'): { table: BlockTable; arena: Arena } {
  const arena = new Arena(slots * slotPageBytes, slots * slotPageBytes)
  const policy = policyNamed(policyName)
  if (policy === null) throw new Error('no policy')
  const make = (capacityBlocks: number) => policy.make({ rowMax: 32, capacityBlocks, chance: () => 1 })
  return { arena, table: new BlockTable(arena, make, policy.flat?.order ?? 'tree', 32, () => slotPageBytes) }
}

function identityOf(n: number): Identity {
  const key = String.fromCharCode(n).repeat(32) as BlockKey
  const parent = n === 0 ? null : (String.fromCharCode(n - 1).repeat(32) as BlockKey)
  const route = n.toString(16).padStart(16, '0') as RouteHash
  return { key, parent, namespace: 0 as NamespaceId, position: n, route, payloadBytes: 100 }
}

/** A generation-checked model: whatever happens in whatever order, the invariants hold. */
void t.test('any order of claims, ends, pins, drops and late ends keeps the invariants', async () => {
  const event = fc.record({
    what: fc.constantFrom(
      'claim',
      'ok',
      'failed',
      'late',
      'pin',
      'unpin',
      'drop',
      'evict',
      'abandon',
      'release',
    ),
    n: fc.nat(9),
  })
  fc.assert(
    fc.property(
      fc.constantFrom('lru', 'lru-leaf-only'),
      fc.array(event, { maxLength: 200, size: 'max' }),
      (name, events) => {
        const { table } = tableOf(name)
        const filling = new Map<number, { row: Row; slot: Slot }>()
        const ended: { row: Row; slot: Slot }[] = []
        const pins: Pinned[] = []
        const releases: (() => void)[] = []
        for (const [nowMs, { what, n }] of events.entries()) {
          const identity = identityOf(n)
          const fill = filling.get(n)
          const row = table.sealedRowOf(identity.key)
          if (what === 'claim') {
            const claimed = table.claim(identity)
            if (claimed.as === 'claimed') filling.set(n, claimed)
          } else if ((what === 'ok' || what === 'failed') && fill !== undefined) {
            const done = { slot: fill.slot, ok: what === 'ok', checksum: n }
            const outcome = table.finishFill(fill.row, done)
            if (outcome !== (what === 'ok' ? 'sealed' : 'copy_failed')) throw new Error(outcome)
            filling.delete(n)
            ended.push(fill)
            table.admit([identity], nowMs)
          } else if (what === 'late' && ended.length > 0) {
            // A doubled or late completion of an earlier owner: nothing may change.
            const old = ended[n % ended.length]
            const current = [...filling.values()].some(({ slot }) => slot === old?.slot)
            if (old !== undefined && !current) {
              const done = { slot: old.slot, ok: true, checksum: 1 }
              if (table.finishFill(old.row, done) !== 'stale_generation')
                throw new Error('a late end was believed')
            }
          } else if (what === 'pin') {
            const pinned = table.pin(identity.key, nowMs)
            if (pinned !== null) pins.push(pinned)
          } else if (what === 'unpin') {
            const pinned = pins.splice(n % Math.max(1, pins.length), 1)[0]
            if (pinned !== undefined) {
              table.unpin(pinned.lease)
              table.unpin(pinned.lease)
            }
          } else if (what === 'drop' && row !== noRow) table.drop(row, false, nowMs)
          else if (what === 'evict') {
            const victim = table.victim(nowMs)
            if (victim !== noRow) table.drop(victim, true, nowMs)
          } else if (what === 'abandon' && fill !== undefined) {
            releases.push(table.abandonFill(fill.row, fill.slot).release)
            filling.delete(n)
          } else if (what === 'release') releases.shift()?.()
          table.check()
          for (const pinned of pins) {
            if (table.stillHolds(pinned.lease) !== 'same') throw new Error('a pinned slot was reused')
          }
        }
      },
    ),
    { numRuns: 400 },
  )
})

void t.test('a claimed key is invisible until it is sealed, and the tier says when it is full', async (t) => {
  const { table } = tableOf()
  for (let n = 0; n < slots; n++) t.equal(table.claim(identityOf(n)).as, 'claimed')
  t.equal(table.claim(identityOf(0)).as, 'known')
  t.equal(table.claim(identityOf(9)).as, 'full')
  t.equal(table.sealedRowOf(identityOf(0).key), noRow)
  t.equal(table.pin(identityOf(0).key, 0), null)
})

void t.test('a lease past its deadline is told once and keeps its slot', async (t) => {
  const { table } = tableOf()
  const claimed = table.claim(identityOf(0))
  if (claimed.as !== 'claimed') throw new Error('not claimed')
  table.finishFill(claimed.row, { slot: claimed.slot, ok: true, checksum: 5 })
  const pinned = table.pin(identityOf(0).key, 0)
  t.equal(table.leases.newlyOverdue(leaseMsMax - 1).length, 0)
  t.equal(table.leases.newlyOverdue(leaseMsMax).length, 1)
  t.equal(table.leases.newlyOverdue(leaseMsMax + 1).length, 0)
  table.drop(claimed.row, false, 0)
  t.equal(table.isInUse, true, 'the slot waits for the copy')
  if (pinned !== null) table.unpin(pinned.lease)
  t.equal(table.isInUse, false)
})
