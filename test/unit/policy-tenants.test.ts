import t from 'tap'
import { answersOnly } from '../../bench/simulate/hint-stream.ts'
import { simulateTenants } from '../../bench/simulate/tenants.ts'
import { noNotes, noRow } from '../../tiers/policy/eviction.ts'
import { policyNamed } from '../../tiers/policy/register.ts'
import { TenantEviction, type TenantSharing } from '../../tiers/policy/tenants.ts'
import { loadSharedTrace, sharedTrace } from '../traces.ts'

function twoTenants(sharing: TenantSharing, floorShare: number): TenantEviction {
  const sizes = { rowMax: 100, capacityBlocks: 10, tenantCount: 2, sharing, floorShare, rowsAreNames: true }
  return new TenantEviction(sizes, () => {
    const policy = policyNamed('lru-leaf-only')?.make({ rowMax: 100, capacityBlocks: 10, chance: () => 0 })
    if (policy === undefined) throw new Error('no policy')
    return policy
  })
}

function bring(policy: TenantEviction, tenant: number, row: number): void {
  policy.onVisit(Int32Array.of(row), 1, 0, 0, { ...noNotes, tenant })
  policy.onAdd(row, noRow, 0, 1, 0, row)
  policy.onVisitEnd()
}

void t.test('the victim comes from the tenant furthest above its share', async (t) => {
  const policy = twoTenants('shares', 0)
  for (let row = 0; row < 8; row += 1) bring(policy, 0, row)
  for (let row = 50; row < 52; row += 1) bring(policy, 1, row)
  policy.onVisit(Int32Array.of(60), 1, 0, 0, { ...noNotes, tenant: 1 })
  t.equal(
    policy.victim(() => false, 0),
    0,
    'the oldest block of tenant 0',
  )
  t.same(policy.heldBlocks(), [8, 2])
})

void t.test('a floor is never crossed for another tenant', async (t) => {
  const policy = twoTenants('shares', 0.5)
  for (let row = 0; row < 5; row += 1) bring(policy, 0, row)
  policy.onVisit(Int32Array.of(60), 1, 0, 0, { ...noNotes, tenant: 1 })
  t.equal(
    policy.victim(() => false, 0),
    noRow,
    'tenant 0 is at its floor, tenant 1 has nothing',
  )
})

void t.test('a quota binds even when the tier has room', async (t) => {
  const policy = twoTenants('quota', 0)
  for (let row = 0; row < 5; row += 1) bring(policy, 0, row)
  t.equal(policy.mayGrow(0), false)
  t.equal(policy.mayGrow(1), true)
})

const mixed = sharedTrace('mixed-tenants')
void t.test('reference rows of three tenants', { skip: mixed.skip }, async (t) => {
  const trace = await loadSharedTrace(mixed.path ?? '')
  const blocks = Math.floor(0.02 * trace.nodeCount)
  const rates = (sharing: 'shared' | 'alone' | 'quota' | 'shares') => {
    const { tenants, hits } = simulateTenants(
      trace,
      'lru-leaf-only',
      sharing,
      blocks,
      7,
      answersOnly,
      () => true,
    )
    const of = (name: string): string => {
      const found = tenants.find((tenant) => tenant.name === name)
      return ((found?.hits ?? 0) / (found?.references ?? 1)).toFixed(4)
    }
    return { line: `${of('chat')} ${of('code')} ${of('scan')}`, all: hits / trace.referenceCount }
  }
  const shared = rates('shared')
  t.equal(shared.line, '0.0535 0.5510 0.0252')
  t.equal(rates('alone').line, '0.1066 0.8324 0.0252')
  const quota = rates('quota')
  t.ok(quota.all < shared.all, 'fixed quotas hurt')
  t.ok(rates('shares').all > shared.all + 0.05, 'shares by marginal hits help')
})
