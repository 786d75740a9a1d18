import fc from 'fast-check'
import t from 'tap'
import { keysIn } from '../../tiers/block/id.ts'
import { chainBytes, chainSecretOf } from '../../tiers/block/key.ts'
import type { Namespace } from '../../tiers/block/namespace.ts'
import { namespaceProblem, namespaceText } from '../../tiers/block/namespace.ts'

const base: Namespace = {
  tenant: 'a',
  model: 'b',
  revision: 'c',
  adapter: 'd',
  engine: 'e',
  layout: { blockTokens: 4, dtype: 'f16', planes: [{ name: 'k', layerCount: 2, pieceBytes: 64 }] },
  rank: { index: 0, count: 1 },
  epoch: 'f',
}
const secret = new Uint8Array(32).fill(1)

void t.test('equal prefixes have equal keys, and the first difference ends that for good', (t) => {
  const property = fc.property(
    fc.array(fc.nat(2 ** 32 - 1), { minLength: 4, maxLength: 40 }),
    fc.nat(39),
    fc.integer({ min: 1, max: 2 ** 32 - 1 }),
    (tokens, at, change) => {
      const one = Uint32Array.from(tokens)
      const other = one.slice()
      const index = at % one.length
      other[index] = ((other[index] ?? 0) + change) >>> 0
      const keys = keysIn(chainBytes(secret, one, 4))
      const others = keysIn(chainBytes(secret, other, 4))
      const firstChanged = Math.floor(index / 4)
      return keys.every((key, i) => (key === others[i]) === i < firstChanged)
    },
  )
  t.doesNotThrow(() => fc.assert(property, { seed: 1, numRuns: 500 }))
  t.end()
})

void t.test('each field of the namespace changes every key', (t) => {
  const others: readonly Namespace[] = [
    { ...base, tenant: 'x' },
    { ...base, model: 'x' },
    { ...base, revision: 'x' },
    { ...base, adapter: 'x' },
    { ...base, engine: 'x' },
    { ...base, epoch: 'x' },
    { ...base, rank: { index: 0, count: 2 } },
    { ...base, layout: { ...base.layout, dtype: 'f32' } },
    { ...base, layout: { ...base.layout, blockTokens: 8 } },
    { ...base, layout: { ...base.layout, planes: [{ name: 'k', layerCount: 4, pieceBytes: 32 }] } },
    { ...base, tenant: 'a|1:b', model: '' },
  ]
  const tokens = Uint32Array.of(1, 2, 3, 4)
  const keys = [base, ...others].map((each) => keysIn(chainBytes(chainSecretOf(secret, each), tokens, 4))[0])
  t.equal(new Set(keys).size, keys.length)
  t.equal(new Set([base, ...others].map(namespaceText)).size, keys.length)
  const foreign = keysIn(chainBytes(chainSecretOf(new Uint8Array(32), base), tokens, 4))[0]
  t.notOk(keys.includes(foreign), 'another cluster secret')
  t.end()
})

void t.test('a namespace that cannot be used says which field', (t) => {
  t.equal(namespaceProblem(base), null)
  t.match(namespaceProblem({ ...base, model: '' }), /namespace\.model/)
  t.match(namespaceProblem({ ...base, rank: { index: 1, count: 1 } }), /rank\.index/)
  t.match(namespaceProblem({ ...base, layout: { ...base.layout, dtype: 'F 16' } }), /layout\.dtype/)
  t.match(namespaceProblem({ ...base, layout: { ...base.layout, planes: [] } }), /layout\.planes/)
  t.end()
})
