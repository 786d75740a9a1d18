import { readFileSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { withReference } from '../../router/reference.ts'

const file = new URL('../../router/README.md', import.meta.url)

void t.test('what the README says of options, metrics, errors and endpoints is what the tables say', (t) => {
  const readme = readFileSync(file, 'utf8')
  const made = withReference(readme)
  if (process.env.TERRACE_WRITE_DOCS === '1') writeFileSync(file, made)
  else t.equal(readme, made, 'TERRACE_WRITE_DOCS=1 node test/unit/router-readme.test.ts writes it anew')
  t.end()
})
