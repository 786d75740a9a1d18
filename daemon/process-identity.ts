import { readFileSync } from 'node:fs'

/** Names one process for ever: a number alone may be given to another process later. */
export type ProcessIdentity = {
  readonly pid: number
  /** Start in clock ticks since boot, as the kernel prints it. */
  readonly startTicks: string
  readonly boot: string
}

export function identityOfThisProcess(): ProcessIdentity {
  return { pid: process.pid, startTicks: startTicksOf(process.pid) ?? '', boot: bootOf() }
}

export function isAlive(identity: ProcessIdentity): boolean {
  return identity.boot === bootOf() && startTicksOf(identity.pid) === identity.startTicks
}

export function identityText(identity: ProcessIdentity): string {
  return `${identity.pid} ${identity.startTicks} ${identity.boot}\n`
}

/** Reads the text of an identity; null when it is none. */
export function identityFrom(text: string): ProcessIdentity | null {
  const match = /^(\d{1,10}) (\d{1,20}) ([0-9a-f-]{36})\n$/.exec(text)
  if (match === null) return null
  return { pid: Number(match[1]), startTicks: match[2] ?? '', boot: match[3] ?? '' }
}

function bootOf(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
}

/** Null when no such process runs. */
function startTicksOf(pid: number): string | null {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1')
  } catch {
    return null
  }
  // The second field is the program's name in brackets and may hold anything; what follows it is state (3rd) to start (22nd).
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const dead = fields[0] === 'Z' || fields[0] === 'X'
  return dead ? null : (fields[19] ?? null)
}
