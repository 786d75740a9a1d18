import type { World } from '../../../tiers/block/clock.ts'
import { KvFailure } from '../../../tiers/block/failures.ts'
import { optionHelp } from '../../../tiers/block/option-help.ts'
import type { DescriptorHander } from '../client/session.ts'
import { type Adapter, startAdapter } from './adapter.ts'
import { type OnProgress, SetupProblem } from './fetch/problem.ts'
import { engineConfig, engineFields, engineHelp } from './options.ts'

/** `terrace engine llama ...`; gives the exit code. `argv` is what follows the word `engine`. */
export async function engineMain(
  argv: readonly string[],
  world: World,
  hander: DescriptorHander | null,
): Promise<number> {
  const [kind, ...words] = argv
  if (kind !== 'llama') {
    const help = optionHelp(engineFields, engineHelp)
    if (kind === undefined || kind === '--help' || kind === '-h') process.stdout.write(help)
    else
      process.stderr.write(
        `terrace engine: unknown engine "${kind.slice(0, 40)}": llama is the one that runs here\n`,
      )
    return kind === '--help' || kind === '-h' ? 0 : 2
  }
  const ending = new AbortController()
  let adapter: Adapter | undefined
  try {
    const config = engineConfig(words, process.env)
    if (config === null) {
      process.stdout.write(optionHelp(engineFields, engineHelp))
      return 0
    }
    listenForEnd(ending, config.parentPipe)
    adapter = await startAdapter(config, world, hander, showProgress(world), ending.signal)
    await sayReady(adapter, config.name, config.readyJson, ending.signal)
    await new Promise<void>((resolve) => {
      if (ending.signal.aborted) resolve()
      ending.signal.addEventListener('abort', () => resolve())
    })
    return 0
  } catch (error) {
    if (ending.signal.aborted) return 130
    if (!(error instanceof SetupProblem) && !(error instanceof KvFailure)) throw error
    process.stderr.write(`terrace engine: ${error.message}\n`)
    return 1
  } finally {
    await adapter?.stop()
  }
}

/** The first signal asks for an orderly end, the second ends at once. */
function listenForEnd(ending: AbortController, parentPipe: boolean): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (ending.signal.aborted) process.exit(1)
      ending.abort()
    })
  }
  if (!parentPipe) return
  process.stdin.once('end', () => ending.abort()).once('error', () => ending.abort())
  process.stdin.resume()
}

/** Lives of a llama-server that end before it ever served, after which it is given up. */
const failedLivesMax = 2

/** Waits until the engine serves and says so on one line. A server of ours that keeps ending is a problem to tell; one
 *  of somebody else's is waited for. */
async function sayReady(adapter: Adapter, name: string, asJson: boolean, signal: AbortSignal): Promise<void> {
  let waiting = false
  while (adapter.front.attached() === null && !signal.aborted) {
    await adapter.engine.whenReady(1_000)
    await adapter.front.settled()
    const state = adapter.engine.state()
    if (state.as !== 'down') continue
    if (adapter.lastWords !== null && state.generation >= failedLivesMax) {
      throw new SetupProblem(`llama-server ${state.why}${adapter.lastWords()}`)
    }
    if (adapter.lastWords === null && !waiting)
      process.stderr.write(`engine ${name}: ${state.why}: waiting for it\n`)
    waiting = true
  }
  if (signal.aborted) return
  const kv = adapter.front.attached()?.kv
  const cache = kv?.as === 'on' ? 'cache on' : `cache off: ${kv?.why ?? 'not attached'}`
  const { url } = adapter.front
  const line = asJson
    ? JSON.stringify({ ready: 'engine', name, url, kv: kv?.as ?? 'off' })
    : `engine ${name}: ${url} (${cache})`
  process.stdout.write(`${line}\n`)
}

/** One line per step, and on a terminal one that moves. */
function showProgress(world: World): OnProgress {
  let step = ''
  let shownMs = 0
  return (progress) => {
    const changed = progress.step !== step
    step = progress.step
    const { done, total } = progress
    const share = total > 0 ? ` ${Math.floor((100 * done) / total)} %` : ''
    if (process.stderr.isTTY) {
      if (!changed && done < total && world.nowMs() - shownMs < 100) return
      shownMs = world.nowMs()
      process.stderr.write(`\r\x1b[K${step}${share}${total > 0 && done >= total ? '\n' : ''}`)
    } else if (changed) process.stderr.write(`${step}\n`)
  }
}
