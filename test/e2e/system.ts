import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import OpenAI from 'openai'
import { freePorts } from '../../daemon/up/ports.ts'
import type { UpState } from '../../daemon/up/state.ts'
import type { SmallDisk } from '../servers/small-disk.ts'

/** A running `terrace up`, as a person starts it, with its own data, ports and secret. */

const program = resolve(import.meta.dirname, '../../terrace.ts')
const readyMsMax = 240_000

export type SystemOptions = {
  readonly directory: string
  readonly words?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  /** A file system of its own for the data. */
  readonly disk?: SmallDisk
}

export type Ended = { readonly code: number | null; readonly output: string }

export class System {
  readonly port: number
  readonly data: string
  readonly child: ChildProcess
  readonly client: OpenAI
  readonly ended: Promise<Ended>
  /** Where this process sees the data. */
  readonly #dataSeen: string
  #output = ''

  private constructor(port: number, data: string, dataSeen: string, child: ChildProcess) {
    this.port = port
    this.data = data
    this.#dataSeen = dataSeen
    this.child = child
    this.client = new OpenAI({ baseURL: `${this.url}/v1`, apiKey: 'none', maxRetries: 0, timeout: 120_000 })
    child.stdout?.on('data', (bytes: Buffer) => {
      this.#output += bytes.toString()
    })
    child.stderr?.on('data', (bytes: Buffer) => {
      this.#output += bytes.toString()
    })
    this.ended = new Promise((end) => child.once('close', (code) => end({ code, output: this.#output })))
  }

  /** Starts `up` without waiting for anything. */
  static spawn(port: number, options: SystemOptions): System {
    const data = join(options.directory, 'data')
    const words = ['up', '--port', String(port), '--data', data, '--context', '4096']
      .concat(['--host-bytes', '512MiB', '--nvme-bytes', '768MiB'])
      .concat(options.words ?? [])
    mkdirSync(options.directory, { recursive: true })
    const { disk } = options
    const [command = '', ...rest] = [...(disk?.lead ?? []), process.execPath, program, ...words]
    const child = spawn(command, rest, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, XDG_CONFIG_HOME: join(options.directory, 'config'), ...options.environment },
    })
    return new System(port, data, disk?.seen(data) ?? data, child)
  }

  /** Starts `up` and waits until requests are served. */
  static async start(options: SystemOptions): Promise<System> {
    const [port = 0] = await freePorts(1)
    const system = System.spawn(port, options)
    let gone: Ended | null = null
    void system.ended.then((end) => {
      gone = end
    })
    const deadline = Date.now() + readyMsMax
    while (!(await system.healthy())) {
      if (gone !== null) throw new Error(`up ended: ${(gone as Ended).output}`)
      if (Date.now() > deadline) {
        await system.stop()
        throw new Error(`up is not ready: ${system.output}`)
      }
      await sleep(100)
    }
    return system
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  get output(): string {
    return this.#output
  }

  get state(): UpState {
    return JSON.parse(readFileSync(join(this.#dataSeen, 'up.json'), 'utf8')) as UpState
  }

  async healthy(): Promise<boolean> {
    return await fetch(`${this.url}/health`).then(
      ({ status }) => status === 200,
      () => false,
    )
  }

  /** ctrl-C. Returns how long the stop took. */
  async stop(): Promise<{ readonly ms: number; readonly end: Ended }> {
    const start = Date.now()
    this.child.kill('SIGINT')
    const end = await this.ended
    return { ms: Date.now() - start, end }
  }

  /** A number of the daemon's metrics: the sum over the label sets that match. */
  async metric(name: string, labels = ''): Promise<number> {
    const text = await (await fetch(`${this.state.admin}/metrics`)).text()
    let sum = 0
    for (const line of text.split('\n')) {
      if (line.startsWith(name) && !line.startsWith('#') && line.includes(labels))
        sum += Number(line.split(' ').at(-1))
    }
    return sum
  }
}

export type Answer = {
  readonly text: string
  readonly promptTokens: number
  readonly cachedTokens: number
  readonly from: ReadonlyMap<string, number>
}

/** A greedy answer of `maxTokens` tokens, at the named worker or wherever the router likes. */
export async function ask(
  system: System,
  content: string,
  worker: string | null,
  maxTokens = 24,
): Promise<Answer> {
  const { data, response } = await system.client.chat.completions
    .create(
      {
        model: 'default',
        messages: [{ role: 'user', content }],
        temperature: 0,
        max_tokens: maxTokens,
        seed: 1,
      },
      { headers: worker === null ? {} : { 'x-terrace-worker': worker } },
    )
    .withResponse()
  const from = new Map<string, number>()
  for (const [, tier = '', count = ''] of (response.headers.get('x-terrace-cached-tokens') ?? '').matchAll(
    /(\w+)=(\d+)/g,
  )) {
    from.set(tier, Number(count))
  }
  return {
    text: data.choices[0]?.message.content ?? '',
    promptTokens: data.usage?.prompt_tokens ?? 0,
    cachedTokens: data.usage?.prompt_tokens_details?.cached_tokens ?? 0,
    from,
  }
}

export async function sleep(ms: number): Promise<void> {
  await new Promise((wake) => setTimeout(wake, ms))
}

/** Waits until something holds; false when it does not in time. */
export async function until(what: () => boolean | Promise<boolean>, msMax = 20_000): Promise<boolean> {
  const deadline = Date.now() + msMax
  while (Date.now() < deadline) {
    if (await what()) return true
    await sleep(100)
  }
  return false
}
