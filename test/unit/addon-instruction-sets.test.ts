import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { loadNative } from '../../addon/load.ts'

const sources = fileURLToPath(new URL('../../addon/src/', import.meta.url))

void t.test('every instruction set of this CPU sums and hashes like the portable form', async (t) => {
  const program = join(t.testdir({}), 'program')
  const parts = readdirSync(sources).filter((name) => /^(checksum|sha256).*\.cc$/.test(name))
  const source = fileURLToPath(new URL('addon-instruction-sets.cc', import.meta.url))
  const compiled = spawnSync(
    'g++',
    ['-std=c++17', '-O1', '-I', sources, '-o', program, source, ...parts.map((name) => join(sources, name))],
    { encoding: 'utf8' },
  )
  t.equal(compiled.status, 0, compiled.stderr)
  const ran = spawnSync(program, { encoding: 'utf8', timeout: 30_000 })
  t.strictSame([ran.status, ran.stderr], [0, ''])
  const kinds = ran.stdout.trim().split('\n')
  const { crc32c, sha256 } = JSON.parse(loadNative().describe())
  t.equal(kinds[0], sha256)
  t.ok(crc32c === 'portable' || kinds[1] === crc32c, `${kinds.join(', ')}: the fastest is in use`)
})
