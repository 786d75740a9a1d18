import type { World } from '../tiers/block/clock.ts'

/** What a log line may carry: ids, sizes, times, codes, names from the configuration. Never tokens, text, keys, headers. */
type LogFields = Readonly<Record<string, string | number | boolean>>

export interface Log {
  info(event: string, fields?: LogFields): void
  warn(event: string, fields?: LogFields): void
}

const fieldCharactersMax = 300

/** One line per event: `2026-01-01T00:00:00.000Z info session_opened session=1`, or the same as JSON. */
export function lineLog(world: World, json: boolean, write: (line: string) => void): Log {
  const line = (level: 'info' | 'warn', event: string, fields: LogFields): void => {
    const at = new Date(world.wallMs()).toISOString()
    if (json) {
      write(`${JSON.stringify({ at, level, event, ...fields })}\n`)
      return
    }
    const words = Object.entries(fields).map(([name, value]) => `${name}=${shown(value)}`)
    write(`${[at, level, event, ...words].join(' ')}\n`)
  }
  return {
    info: (event, fields = {}) => line('info', event, fields),
    warn: (event, fields = {}) => line('warn', event, fields),
  }
}

/** Quoted whenever it could be taken for something else: a name with a line end must not forge a line. */
function shown(value: string | number | boolean): string {
  if (typeof value !== 'string') return String(value)
  return /^[\w./:@+-]+$/.test(value) ? value : JSON.stringify(value.slice(0, fieldCharactersMax))
}
