import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { AssertionFailure } from '../tiers/block/assert.ts'
import type { World } from '../tiers/block/clock.ts'
import { KvFailure } from '../tiers/block/failures.ts'
import { stopMsMax } from '../tiers/block/limits.ts'
import { optionHelp } from '../tiers/block/option-help.ts'
import { numberText } from '../tiers/block/option-value.ts'
import { type DaemonConfig, daemonFields, daemonHelp, readDaemonConfig } from './config.ts'
import { errnoOf } from './errno.ts'
import { type Log, lineLog } from './log.ts'
import { thisMachine } from './machine.ts'
import { type RunningDaemon, startDaemon } from './parts.ts'

/** Exit codes besides 0: a start that failed, a wrong command line, a broken invariant. */
const exits = { failed: 1, usage: 2, broken: 70 } as const
const stopSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
/** Written beside the data while the daemon serves: where `terrace status` finds it. */
const readyFile = 'daemon.json'

/** `terrace daemon`: config -> parts -> run -> stop. Resolves to the exit code when everything is closed. */
export async function daemonMain(argv: readonly string[], world: World): Promise<number> {
  let config: DaemonConfig | null
  try {
    config = readDaemonConfig(argv, thisMachine())
  } catch (error) {
    return refuse(error, exits.usage)
  }
  if (config === null) {
    process.stdout.write(optionHelp(daemonFields, daemonHelp))
    return 0
  }
  const log = lineLog(world, config.logJson, (line) => process.stderr.write(line))
  for (const warning of config.warnings) log.warn('variable_unknown', { says: warning })
  const end = endings(world, log, config.parentPipe)
  let running: RunningDaemon
  try {
    running = await startDaemon(config, world, log, end.broken)
  } catch (error) {
    end.release()
    return refuse(error, exits.failed)
  }
  end.started()
  announce(config, running, log)
  const why = await end.asked
  log.info('stopping', { why })
  const cancel = world.after(stopMsMax, () => {
    log.warn('stop_overdue')
    process.exit(exits.failed)
  })
  // Before the directory is given back: another daemon's file of this name is not ours to remove.
  rmSync(join(config.data, readyFile), { force: true })
  await running.stop(world.nowMs() + stopMsMax * 0.8)
  cancel()
  log.info('stopped')
  end.release()
  return 0
}

function announce(config: DaemonConfig, running: RunningDaemon, log: Log): void {
  const { adminPort, isFresh: fresh } = running
  const { node, socket, door, data } = config
  const ready = { ready: true, pid: process.pid, node, adminPort, socket, door, data, fresh }
  try {
    writeFileSync(join(data, readyFile), `${JSON.stringify(ready)}\n`, { mode: 0o600 })
  } catch (error) {
    log.warn('ready_file_failed', { why: errnoOf(error) })
  }
  const sizes = [
    `host ${numberText('bytes', config.hostBytes)}`,
    config.nvmeBytes === 0 ? 'nvme off' : `nvme ${numberText('bytes', config.nvmeBytes)}`,
    config.s3 === null ? 's3 off' : 's3 on',
  ]
  const line = `terrace daemon ready: ${sizes.join(', ')}; engines at ${socket}, admin at http://127.0.0.1:${adminPort}`
  process.stdout.write(config.readyJson ? `${JSON.stringify(ready)}\n` : `${line}\n`)
}

/** Everything that ends the process: signals, the parent's end, a broken invariant. The second signal ends it at once. */
function endings(world: World, log: Log, parentPipe: boolean) {
  let ask: (why: string) => void = () => undefined
  const asked = new Promise<string>((resolve) => {
    ask = resolve
  })
  let signals = 0
  let starting = true
  const onSignal = (signal: NodeJS.Signals): void => {
    signals += 1
    if (signals > 1) process.exit(exits.failed)
    ask(signal)
    // A start that hangs (a disk, a store far away) must not outlive the wish to end it.
    if (starting) world.after(stopMsMax, () => starting && process.exit(exits.failed))
  }
  const broken = (error: unknown): void => {
    // An unexpected failure of one ask is that ask's; a broken invariant is everybody's: the seals decide after the restart.
    if (!(error instanceof AssertionFailure)) return
    log.warn('broken', { what: error.message, at: placeOf(error) })
    process.exit(exits.broken)
  }
  const uncaught = (error: unknown): void => {
    log.warn('uncaught', { what: errnoOf(error), at: placeOf(error) })
    process.exit(exits.broken)
  }
  const onParentEnd = (): void => ask('parent_end')
  for (const signal of stopSignals) process.on(signal, onSignal)
  process.on('uncaughtException', uncaught)
  // When whoever reads our lines is gone, they are lost; the blocks still to be written are not.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', ignore)
  if (parentPipe) {
    process.stdin.on('end', onParentEnd)
    process.stdin.on('error', onParentEnd)
    process.stdin.resume()
  }
  return {
    asked,
    broken,
    started: (): void => {
      starting = false
    },
    release: (): void => {
      for (const signal of stopSignals) process.off(signal, onSignal)
      process.off('uncaughtException', uncaught)
      if (parentPipe) process.stdin.destroy()
    },
  }
}

function ignore(): void {}

/** Where it happened, without what it was about. */
function placeOf(error: unknown): string {
  const stack = error instanceof Error ? (error.stack ?? '') : ''
  return (/at .*$/m.exec(stack)?.[0] ?? '').slice(0, 200)
}

function refuse(error: unknown, code: number): number {
  if (error instanceof AssertionFailure) throw error
  const says = error instanceof KvFailure ? error.message : `cannot start: ${errnoOf(error)}`
  process.stderr.write(`terrace daemon: ${says}\n`)
  return code
}
