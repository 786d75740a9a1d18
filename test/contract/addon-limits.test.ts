import { readFileSync } from 'node:fs'
import t from 'tap'
import {
  layoutPlanesMax,
  queueStepsMax,
  slotPageBytes,
  waitingDescriptorsMax,
} from '../../tiers/block/limits.ts'
import { sealByteCount } from '../../tiers/block/seal.ts'

/** Numbers that both sides of the native boundary know, each in its own file of limits. */

const header = readFileSync(new URL('../../addon/src/limits.h', import.meta.url), 'utf8')

void t.test('the native limits are those of the product', (t) => {
  const shared: Readonly<Record<string, number>> = {
    slotPageBytes,
    sealBytes: sealByteCount,
    queueStepsMax,
    placePlanesMax: layoutPlanesMax,
    waitingDescriptorsMax,
  }
  for (const [name, value] of Object.entries(shared)) {
    const found = new RegExp(`constexpr uint\\d+_t ${name} = (\\d+);`).exec(header)
    t.equal(Number(found?.[1]), value, name)
  }
  t.end()
})
