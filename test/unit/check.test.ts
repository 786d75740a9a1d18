import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'

/** Types, format and lint of the whole tree: what `npm run check` runs. Without the test runner's hooks in NODE_OPTIONS, which
 *  the compiler's own loader does not stand. */

const root = fileURLToPath(new URL('../..', import.meta.url))

for (const [name, words] of [
  ['tsc', ['-p', '.']],
  ['biome', ['check', '.']],
] as const) {
  void t.test(`${name} finds nothing`, (t) => {
    const { status, stdout, stderr } = spawnSync(
      'env',
      ['-u', 'NODE_OPTIONS', `${root}/node_modules/.bin/${name}`, ...words],
      {
        cwd: root,
        encoding: 'utf8',
      },
    )
    t.equal(status, 0, `${stdout}${stderr}`.slice(-4_000))
    t.end()
  })
}
