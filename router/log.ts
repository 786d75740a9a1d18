import type { World } from '../tiers/block/clock.ts'

type LogValue = string | number | boolean | null
/** Says one thing that happened: a word and plain values. Never text, tokens, headers or keys of a request.
 *  */
export type Log = (event: string, values?: Readonly<Record<string, LogValue>>) => void

/** One line per event: `time event name=value …`. */
export function lineLog(world: World, write: (line: string) => void): Log {
  return (event, values = {}) => {
    const parts = Object.entries(values).map(([name, value]) => ` ${name}=${wordOf(value)}`)
    write(`${new Date(world.wallMs()).toISOString()} router ${event}${parts.join('')}\n`)
  }
}

function wordOf(value: LogValue): string {
  const text = String(value)
  return /^[\w.:/+-]*$/.test(text) ? text : JSON.stringify(text)
}
