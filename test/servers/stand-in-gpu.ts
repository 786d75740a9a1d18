import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readlinkSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { createInterface, type Interface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { addonFile } from '../../addon/load.ts'

const source = fileURLToPath(new URL('stand-in-cuda.c', import.meta.url))
const checks = fileURLToPath(new URL('../gpu/', import.meta.url))

/** The C library of the addon, beside the addon itself. */
export const libterrace = join(dirname(addonFile()), `lib${basename(addonFile(), '.node')}.so`)

/** Compiles the stand-in for the CUDA driver into a folder of the test, and gives the file to load in its place. */
export function standInDriver(t: { testdir(): string }): string {
  const file = join(t.testdir(), 'libcuda.so')
  const flags = ['-std=gnu11', '-shared', '-fPIC', '-O1', '-pthread', '-Wall', '-Wextra', '-Werror']
  const compiled = spawnSync('gcc', [...flags, source, '-o', file], { encoding: 'utf8' })
  if (compiled.status !== 0) throw new Error(`the stand-in does not compile: ${compiled.stderr}`)
  return file
}

/** Runs one of the checks of test/gpu on a driver: its exit code and what it printed. */
export function gpuCheck(
  name: string,
  environment: Readonly<Record<string, string>>,
): { code: number | null; text: string } {
  const ran = spawnSync('python3', [join(checks, name), libterrace], {
    encoding: 'utf8',
    timeout: 120_000,
    env: { ...process.env, ...environment },
  })
  return { code: ran.status, text: `${ran.stdout}${ran.stderr}` }
}

/** Descriptors of stand-in GPU memory that a process has open. */
export function standInMappings(pid: number): number {
  const folder = `/proc/${pid}/fd`
  return readdirSync(folder).filter((name) => {
    try {
      return readlinkSync(join(folder, name)).includes('stand-in-cuda')
    } catch {
      return false
    }
  }).length
}

/** An engine in a process of its own, with 64 tensors of 1 MiB in GPU memory. */
export class GpuEngine {
  static readonly tensors = 64
  static readonly tensorBytes = 2 ** 20
  static readonly pieceBytes = 65_536
  readonly child: ChildProcess
  readonly #lines: Interface

  private constructor(child: ChildProcess, lines: Interface) {
    this.child = child
    this.#lines = lines
  }

  static async start(
    t: { teardown(run: () => void): void },
    environment: Readonly<Record<string, string>>,
    kind: 'handles' | 'descriptors',
  ): Promise<GpuEngine> {
    const child = spawn('python3', [join(checks, 'check_attach.py'), libterrace, kind], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, ...environment },
    })
    t.teardown(() => void child.kill('SIGKILL'))
    const engine = new GpuEngine(child, createInterface({ input: child.stdout }))
    const ready = await engine.#line()
    if (ready !== 'ready') throw new Error(`the engine did not start: ${ready}`)
    return engine
  }

  /** Hands all tensors in at a door. */
  async handIn(door: string, token: Uint8Array): Promise<void> {
    const answer = await this.#ask({ door, token: Buffer.from(token).toString('hex') })
    if (answer !== 'handed in') throw new Error(`the engine answered ${answer}`)
  }

  /** What a piece holds, as the engine itself reads it. */
  async piece(tensor: number, block: number): Promise<string> {
    const { pieceBytes: byteCount } = GpuEngine
    return await this.#ask({ tensor, offset: block * byteCount, byteCount })
  }

  async kill(): Promise<void> {
    const ended = once(this.child, 'exit')
    this.child.kill('SIGKILL')
    await ended
  }

  async #ask(wanted: object): Promise<string> {
    this.child.stdin?.write(`${JSON.stringify(wanted)}\n`)
    return await this.#line()
  }

  async #line(): Promise<string> {
    const [line] = (await once(this.#lines, 'line', { signal: AbortSignal.timeout(30_000) })) as [string]
    return line
  }
}
