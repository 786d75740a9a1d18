import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const script = fileURLToPath(new URL('../../.ci/addon', import.meta.url))

function build(args: readonly string[], env: Record<string, string> = {}) {
  const ran = spawnSync('sh', [script, ...args], { encoding: 'utf8', env: { ...process.env, ...env } })
  return { status: ran.status, said: `${ran.stdout}${ran.stderr}` }
}

void t.test('a build of unchanged sources does and says nothing', async (t) => {
  build([])
  t.strictSame(build([]), { status: 0, said: '' })
})

void t.test('what is missing or unknown is one sentence', async (t) => {
  t.strictSame(build([], { CXX: 'absent-compiler' }), {
    status: 1,
    said: 'addon: absent-compiler is missing: run "apt-get install g++ make"\n',
  })
  t.strictSame(build(['--fast']), {
    status: 1,
    said: 'addon: unknown option --fast: use --sanitize address|thread, or none\n',
  })
  t.strictSame(build(['--sanitize', 'heap']), {
    status: 1,
    said: 'addon: --sanitize needs address or thread\n',
  })
  t.equal(build(['--sanitize']).status, 1)
})
