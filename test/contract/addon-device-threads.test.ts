import { spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { libterrace, standInDriver } from '../servers/stand-in-gpu.ts'

const environment = { TERRACE_CUDA_LIBRARY: standInDriver(t) }

void t.test('many threads open, use and close the same memory at once', async (t) => {
  const program = join(t.testdir(), 'program')
  const source = fileURLToPath(new URL('addon-device.c', import.meta.url))
  const headers = fileURLToPath(new URL('../../addon/src', import.meta.url))
  const flags = ['-std=c11', '-D_GNU_SOURCE', '-pthread', '-Wall', '-Wextra', '-Werror', '-I', headers]
  const compiled = spawnSync('gcc', [...flags, source, libterrace, '-o', program], { encoding: 'utf8' })
  t.equal(compiled.status, 0, compiled.stderr)
  const ran = spawnSync(program, [], {
    encoding: 'utf8',
    timeout: 60_000,
    env: { ...process.env, ...environment, STAND_IN_CUDA_PAUSE: '200', LD_LIBRARY_PATH: dirname(libterrace) },
  })
  t.strictSame([ran.status, ran.signal, ran.stderr], [0, null, ''])
})
