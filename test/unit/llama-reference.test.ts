import { readFileSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { engineFields } from '../../daemon/adapters/llama/options.ts'
import { withGenerated } from '../../tiers/block/generated.ts'
import { optionReference } from '../../tiers/block/option-help.ts'

const file = new URL('../../daemon/adapters/llama/README.md', import.meta.url)

void t.test('the options in the README are those of the source', (t) => {
  const page = readFileSync(file, 'utf8')
  const fresh = withGenerated(page, { options: optionReference(engineFields) })
  if (process.env.TERRACE_WRITE_DOCS === '1') writeFileSync(file, fresh)
  else t.equal(fresh === page, true, 'stale: run with TERRACE_WRITE_DOCS=1')
  t.end()
})
