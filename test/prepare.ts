import { join } from 'node:path'
import { ensureLlamaServer } from '../daemon/adapters/llama/build/ensure.ts'
import { ensureModel } from '../daemon/adapters/llama/model/ensure.ts'
import { cacheDirectory } from '../daemon/up/fields.ts'
import { ProgressLine } from '../daemon/up/progress.ts'
import { realWorld } from '../tiers/block/clock.ts'

/** Brings the engine and the model that the tests run with: before them, so that no test's time goes into a build. */

const line = new ProgressLine(process.stderr, realWorld)
const sleep = (ms: number): Promise<void> => realWorld.sleep(ms)
await Promise.all([
  ensureLlamaServer({ cache: join(cacheDirectory, 'engine'), sleep, lookOnPath: false }, (at) =>
    line.show('engine', at.step, at.done, at.total),
  ),
  ensureModel({ cache: join(cacheDirectory, 'model'), sleep }, (at) =>
    line.show('model', at.step, at.done, at.total),
  ),
])
line.clear()
