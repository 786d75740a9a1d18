import type { TierName } from './id.ts'
import { tierNames } from './id.ts'
import { eventBlocksMax } from './limits.ts'
import { isRouteHash, type RouteHash } from './route.ts'

/** What a publisher says about who holds which prefix. Events are hints: a wrong one costs time, never correctness. */
export type KvEvent =
  /** The blocks can be had from this tier now. */
  | { readonly kind: 'stored'; readonly holder: Holder; readonly blocks: readonly RouteHash[] }
  | {
      readonly kind: 'removed'
      readonly holder: Holder
      readonly blocks: readonly RouteHash[]
      readonly why: RemovedWhy
    }
  /** Nothing of the holder is left. */
  | { readonly kind: 'cleared'; readonly holder: Holder; readonly why: RemovedWhy }

/** Who holds: a tier of the node for one model, or, for `hbm`, one worker's own cache. */
export type Holder = {
  readonly tier: TierName
  /** The worker whose memory it is; empty for the node's tiers, which all its engines reach. */
  readonly worker: string
  readonly model: string
  readonly blockTokens: number
  readonly blockBytes: number
}

const removedWhys = ['evicted', 'damaged', 'engine', 'session_end', 'tier_lost', 'stopping'] as const
export type RemovedWhy = (typeof removedWhys)[number]

/** One publisher's events in order. A reader that sees a gap in `sequence`, or another `epoch`, asks for a snapshot. */
export type EventBatch = {
  readonly version: 1
  readonly publisher: string
  readonly epoch: string
  /** Counts batches of this publisher and epoch from 1, without gaps. */
  readonly sequence: number
  readonly scheme: string
  readonly events: readonly KvEvent[]
}

/** Everything a publisher holds as of `sequence`: what a reader would know had it seen every batch. */
export type EventSnapshot = {
  readonly version: 1
  readonly publisher: string
  readonly epoch: string
  readonly sequence: number
  readonly scheme: string
  readonly holdings: readonly { readonly holder: Holder; readonly blocks: readonly RouteHash[] }[]
}

export type EventDecoded<Value> =
  | { readonly as: 'value'; readonly value: Value }
  | { readonly as: 'refused'; readonly why: string }

/** Decodes the JSON of a batch; every field is checked, unknown ones are ignored. */
export function decodeBatch(text: string): EventDecoded<EventBatch> {
  return decode(text, (json) => ({
    ...headOf(json),
    events: entries(json, 'events', eventBlocksMax).map((entry, i) => eventOf(entry, `events[${i}]`)),
  }))
}

/** Decodes the JSON of a snapshot. `blocksMax` bounds what the reader is willing to hold. */
export function decodeSnapshot(text: string, blocksMax: number): EventDecoded<EventSnapshot> {
  return decode(text, (json) => ({
    ...headOf(json),
    holdings: entries(json, 'holdings', eventBlocksMax).map((entry, i) => ({
      holder: holderOf(field(entry, 'holder'), `holdings[${i}].holder`),
      blocks: hashesOf(entry, `holdings[${i}].blocks`, blocksMax),
    })),
  }))
}

class BadEvent extends Error {}

function decode<Value>(text: string, read: (json: unknown) => Value): EventDecoded<Value> {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return { as: 'refused', why: 'not JSON' }
  }
  try {
    return { as: 'value', value: read(json) }
  } catch (error) {
    if (error instanceof BadEvent) return { as: 'refused', why: error.message }
    throw error
  }
}

function headOf(json: unknown): Omit<EventBatch, 'events'> {
  const version = field(json, 'version')
  if (version !== 1) throw new BadEvent('version: not 1')
  return {
    version,
    publisher: wordOf(json, 'publisher', 'publisher'),
    epoch: wordOf(json, 'epoch', 'epoch'),
    sequence: countOf(json, 'sequence', 'sequence'),
    scheme: wordOf(json, 'scheme', 'scheme'),
  }
}

function eventOf(json: unknown, what: string): KvEvent {
  const kind = field(json, 'kind')
  const holder = holderOf(field(json, 'holder'), `${what}.holder`)
  if (kind === 'stored') return { kind, holder, blocks: hashesOf(json, `${what}.blocks`, eventBlocksMax) }
  const why = removedWhys.find((word) => word === field(json, 'why'))
  if (why === undefined) throw new BadEvent(`${what}.why: unknown`)
  if (kind === 'removed')
    return { kind, holder, blocks: hashesOf(json, `${what}.blocks`, eventBlocksMax), why }
  if (kind === 'cleared') return { kind, holder, why }
  throw new BadEvent(`${what}.kind: unknown`)
}

function holderOf(json: unknown, what: string): Holder {
  const tier = tierNames.find((name) => name === field(json, 'tier'))
  if (tier === undefined) throw new BadEvent(`${what}.tier: unknown`)
  return {
    tier,
    worker: wordOf(json, 'worker', what),
    model: wordOf(json, 'model', what),
    blockTokens: countOf(json, 'blockTokens', what),
    blockBytes: countOf(json, 'blockBytes', what),
  }
}

function field(json: unknown, name: string): unknown {
  if (typeof json !== 'object' || json === null || !Object.hasOwn(json, name)) return undefined
  return (json as Record<string, unknown>)[name]
}

function entries(json: unknown, name: string, countMax: number): readonly unknown[] {
  const value = field(json, name)
  if (!Array.isArray(value)) throw new BadEvent(`${name}: not a list`)
  if (value.length > countMax) throw new BadEvent(`${name}: more than ${countMax} entries`)
  return value
}

function hashesOf(json: unknown, what: string, countMax: number): readonly RouteHash[] {
  const value = entries(json, 'blocks', countMax)
  if (!value.every(isRouteHash)) throw new BadEvent(`${what}: not route hashes`)
  return value
}

function wordOf(json: unknown, name: string, what: string): string {
  const value = field(json, name)
  if (typeof value !== 'string' || value.length > 1_024)
    throw new BadEvent(`${what}.${name}: not a short text`)
  return value
}

function countOf(json: unknown, name: string, what: string): number {
  const value = field(json, name)
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
    throw new BadEvent(`${what}.${name}: not a whole number`)
  }
  return value
}
