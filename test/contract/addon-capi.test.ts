import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { addonFile } from '../../addon/load.ts'

const sources = fileURLToPath(new URL('../../addon/src', import.meta.url))
const library = join(dirname(addonFile()), 'libterrace.so')

/** A directory with a short name, for the socket. */
function shortDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'capi-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

void t.test('the C ABI does from C what it does from Node', async (t) => {
  const directory = shortDirectory()
  const program = join(directory, 'program')
  const source = fileURLToPath(new URL('addon-capi.c', import.meta.url))
  const warnings = ['-std=c11', '-D_GNU_SOURCE', '-pthread', '-Wall', '-Wextra', '-Werror']
  const compiled = spawnSync('gcc', [...warnings, '-I', sources, source, library, '-o', program], {
    encoding: 'utf8',
  })
  t.equal(compiled.status, 0, compiled.stderr)
  const ran = spawnSync(program, [join(directory, 'slab'), join(directory, 'door')], {
    encoding: 'utf8',
    timeout: 30_000,
    env: { ...process.env, LD_LIBRARY_PATH: dirname(library) },
  })
  t.strictSame([ran.status, ran.signal, ran.stderr], [0, null, ''])
})

void t.test('Python calls it with its standard library alone', async (t) => {
  const program = `
import ctypes, sys
terrace = ctypes.CDLL(sys.argv[1])
assert terrace.terrace_abi_version() == 2
terrace.terrace_crc32c.restype = ctypes.c_uint32
assert terrace.terrace_crc32c(b"123456789", ctypes.c_size_t(9), 0) == 0xe3069283
region = ctypes.c_uint32()
assert terrace.terrace_open_memory(ctypes.c_uint64(4096), ctypes.byref(region)) == 0
terrace.terrace_problem.restype = ctypes.c_char_p
assert terrace.terrace_open_memory(ctypes.c_uint64(0), ctypes.byref(region)) == -22
assert terrace.terrace_problem() == b"byteCount: must be 1 or more", terrace.terrace_problem()
`
  const ran = spawnSync('python3', ['-c', program, library], { encoding: 'utf8', timeout: 30_000 })
  t.strictSame([ran.status, ran.stderr], [0, ''])
})
