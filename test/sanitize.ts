import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

/** Builds the addon with a sanitizer and runs its tests on it: `node test/sanitize.ts [address|thread]`. Node itself stays as
 *  it is: the sanitizer's run-time library is loaded before it. A finding ends the run with status 1. */

type Sanitizer = {
  readonly name: string
  readonly libraries: readonly string[]
  readonly flags: string
  readonly env: Record<string, string>
  /** Tests that it cannot run: the jump out of a signal in the middle of a watched call, processes that end under
   *  their threads (both on purpose), and Python, which does not start under the thread sanitizer. */
  readonly without: readonly string[]
}
const sanitizers: readonly Sanitizer[] = [
  {
    name: 'address',
    libraries: ['libasan.so', 'libubsan.so'],
    flags: '-fsanitize=address,undefined -fno-sanitize-recover=undefined',
    // Leaks are looked for in the C program below: Node never frees all of its own. SIGBUS stays ours: the tests tell
    // one that a copy met from one that ends the process.
    env: { ASAN_OPTIONS: 'detect_leaks=0:handle_sigbus=0', UBSAN_OPTIONS: 'print_stacktrace=1' },
    without: [],
  },
  {
    name: 'thread',
    libraries: ['libtsan.so'],
    flags: '-fsanitize=thread',
    // Node is not compiled for it: what only Node touches, through calls that are watched, says nothing.
    env: { TSAN_OPTIONS: 'exitcode=66 ignore_noninstrumented_modules=1' },
    without: ['fault/addon-shared-memory', 'fault/addon-exit', 'contract/addon-device'],
  },
]
const tests = [
  'unit/addon-vectors',
  'unit/addon-round-trip',
  'unit/addon-queue',
  'unit/addon-arguments',
  'property/addon-places',
  'contract/addon-door',
  'contract/addon-device',
  'fault/addon-shared-memory',
  'fault/addon-damage',
  'fault/addon-exit',
  'fault/addon-short-file',
  'fuzz/addon-steps',
]
const platform = `linux-${process.arch}`

function run(command: string, args: readonly string[], env: Record<string, string>): boolean {
  const ran = spawnSync(command, args, {
    env: { ...process.env, ...env },
    encoding: 'utf8',
    timeout: 600_000,
  })
  const bad = ran.status !== 0
  if (bad) console.log(`${ran.stdout.slice(-4_000)}${ran.stderr.slice(-8_000)}`)
  console.log(`${bad ? 'not ok' : 'ok'} - ${args.at(-1) ?? command}`)
  return !bad
}

/** The C programs on the plain C++ parts, with the whole process under the sanitizer: leaks count here. */
function runPrograms(sanitizer: Sanitizer): boolean {
  const directory = mkdtempSync(join(tmpdir(), 'sanitize-'))
  const folder = resolve(`addon/build/${platform}`)
  const library = join(folder, `libterrace-${sanitizer.name}.so`)
  const driver = join(directory, 'libcuda.so')
  const standIn = ['-std=gnu11', '-shared', '-fPIC', '-pthread', 'test/servers/stand-in-cuda.c', '-o', driver]
  const strict = ['-std=c11', '-D_GNU_SOURCE', '-pthread', '-g', '-I', 'addon/src']
  const flags = [...strict, ...sanitizer.flags.split(' ')]
  const build = (program: string): boolean =>
    run('gcc', [...flags, '-o', join(directory, program), library, `test/contract/${program}.c`, library], {})
  const env = { LD_LIBRARY_PATH: folder, TERRACE_CUDA_LIBRARY: driver, STAND_IN_CUDA_PAUSE: '200' }
  try {
    return (
      run('gcc', standIn, {}) &&
      build('addon-capi') &&
      run(join(directory, 'addon-capi'), [join(directory, 'slab'), join(directory, 'door')], env) &&
      build('addon-device') &&
      run(join(directory, 'addon-device'), [], env)
    )
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

let good = true
for (const sanitizer of sanitizers.filter(({ name }) => (process.argv[2] ?? name) === name)) {
  console.log(`# ${sanitizer.name}`)
  if (!run('sh', ['.ci/addon', '--sanitize', sanitizer.name], {})) process.exit(1)
  const preload = sanitizer.libraries.map((library) =>
    spawnSync('gcc', [`-print-file-name=${library}`], { encoding: 'utf8' }).stdout.trim(),
  )
  const env = {
    ...sanitizer.env,
    LD_PRELOAD: preload.join(' '),
    TERRACE_ADDON_FILE: resolve(`addon/build/${platform}/terrace-${sanitizer.name}.node`),
  }
  good = runPrograms(sanitizer) && good
  for (const test of tests) {
    if (!sanitizer.without.includes(test)) good = run(process.execPath, [`test/${test}.test.ts`], env) && good
  }
}
process.exitCode = good ? 0 : 1
