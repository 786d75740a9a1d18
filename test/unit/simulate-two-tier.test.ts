import t from 'tap'
import { capacityBlocks } from '../../bench/simulate/capacity.ts'
import { simulateTwoTiers, type TwoTierSetup } from '../../bench/simulate/two-tier.ts'
import { admissionNamed } from '../../tiers/policy/admission.ts'
import { loadSharedTrace, sharedTrace } from '../traces.ts'

type Rule = { readonly setup: Partial<TwoTierSetup>; readonly admission: string }

const rules: Readonly<Record<string, Rule>> = {
  'write-through': { setup: { demotion: 'write-through' }, admission: 'all' },
  'demote all': { setup: {}, admission: 'all' },
  'demote all, FIFO disk': { setup: { diskOrder: 'fifo' }, admission: 'all' },
  'demote all, exclusive': { setup: { demotion: 'exclusive' }, admission: 'all' },
  'used twice': { setup: {}, admission: 'used-twice' },
  'second eviction': { setup: {}, admission: 'second-eviction' },
  'known prefix': { setup: {}, admission: 'known-prefix' },
  'known prefix or used twice': { setup: {}, admission: 'known-or-used' },
  'with ancestors': { setup: { withAncestors: true }, admission: 'all' },
}

/** Hit rate and writes per distinct block: host 5 % with disk 25 %, and host 2 % with disk 4 %. */
const reference = {
  'mooncake-conversation': {
    'write-through': ['0.3531/1.02', '0.1614/1.32'],
    'demote all': ['0.3565/0.98', '0.2150/1.22'],
    'demote all, FIFO disk': ['0.3450/1.01', '0.2034/1.31'],
    'demote all, exclusive': ['0.3577/1.22', '0.2208/1.43'],
    'used twice': ['0.2811/0.23', '0.2100/0.27'],
    'second eviction': ['0.2637/0.15', '0.2059/0.25'],
    'known prefix': ['0.2521/0.22', '0.1190/0.06'],
    'known prefix or used twice': ['0.2855/0.33', '0.2089/0.34'],
    'with ancestors': ['0.3553/0.98', '0.2135/1.23'],
  },
  miniswe: {
    'write-through': ['0.9338/1.01', '0.6306/8.87'],
    'demote all': ['0.9338/0.96', '0.7022/7.95'],
    'demote all, FIFO disk': ['0.9338/0.96', '0.6937/8.29'],
    'demote all, exclusive': ['0.9338/7.78', '0.7022/13.25'],
    'used twice': ['0.9113/0.88', '0.6860/7.30'],
    'second eviction': ['0.9113/0.60', '0.6860/7.21'],
    'known prefix': ['0.9338/0.96', '0.7022/7.95'],
    'known prefix or used twice': ['0.9338/0.96', '0.7022/7.95'],
    'with ancestors': ['0.9338/0.99', '0.6306/0.57'],
  },
} as const

for (const [name, rows] of Object.entries(reference)) {
  const { path, skip } = sharedTrace(name)
  void t.test(`two-tier reference rows of ${name}`, { skip }, async (t) => {
    const trace = await loadSharedTrace(path ?? '')
    const sizes = [
      ['5%', '25%'],
      ['2%', '4%'],
    ].map((pair) => pair.map((text) => capacityBlocks(text, trace, 'down', null)))
    for (const [label, wanted] of Object.entries(rows)) {
      const rule = rules[label]
      const made = sizes.map(([hostBlocks = 0, diskBlocks = 0]) => {
        const setup: TwoTierSetup = {
          hostBlocks,
          diskBlocks,
          demotion: 'demote',
          diskOrder: 'lru',
          withAncestors: false,
          ...rule?.setup,
        }
        const admission = admissionNamed(rule?.admission ?? 'all')?.make()
        if (admission === undefined) throw new Error(`no admission ${rule?.admission}`)
        const result = simulateTwoTiers(trace, setup, admission, null)
        return { rate: result.hits / trace.referenceCount, writes: result.diskWrites / trace.nodeCount }
      })
      wanted.forEach((text: string, at: number) => {
        const [rate = '', writes = ''] = text.split('/')
        t.equal(made[at]?.rate.toFixed(4), rate, `${label}: hit rate`)
        // The reference rounds writes to two digits.
        t.ok(Math.abs((made[at]?.writes ?? 0) - Number(writes)) < 0.011, `${label}: writes ${writes}`)
      })
    }
  })
}
