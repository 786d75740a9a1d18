import { assert } from './assert.ts'
import {
  type Field,
  f64,
  fixed,
  list,
  Malformed,
  oneOf,
  Reader,
  type RecordOf,
  record,
  text,
  u8,
  u16,
  u32,
  u32List,
  u64,
  Writer,
} from './codec.ts'
import {
  chainBlocksMax,
  chainTokensMax,
  frameBytesMax,
  layoutPlanesMax,
  sessionRegionsMax,
  wireTextBytesMax,
} from './limits.ts'

/** What engines and the daemon say to each other on the unix socket. One table: codec, adapters and the reference page are made
 *  from it. A frame is 12 bytes of header (length with header u32, message u8, zero u8, zero u16, ask u32),
 *  then the fields in the order of the table. The answer carries the ask's number. */
export const wireVersion = 1
export const frameHeaderBytes = 12

const word = text(wireTextBytesMax)
const layoutField = record({
  blockTokens: u32,
  dtype: word,
  planes: list(record({ name: word, layerCount: u32, pieceBytes: u64 }), layoutPlanesMax),
})
const placeField = record({
  planes: list(record({ baseOffset: u64, layerStride: u64, blockStride: u64 }), layoutPlanesMax),
})
/** Blocks that each tier gave, in the order hbm, host, nvme, s3. */
const perTier = record({ hbm: u32, host: u32, nvme: u32, s3: u32 })

/** Why a Load gave no more blocks than it did. */
const loadStops = [
  'complete',
  'absent',
  'slower_than_recompute',
  'deadline',
  'damaged',
  'no_room',
  'tier_failed',
  'stopping',
] as const
export type LoadStop = (typeof loadStops)[number]

/** Why a Store kept fewer blocks than it was given. */
const storeDrops = ['none', 'no_room', 'not_admitted', 'copy_failed', 'parent_absent', 'stopping'] as const
export type StoreDrop = (typeof storeDrops)[number]

export const messages = {
  /** First message of a session. */
  hello: {
    number: 1,
    ask: { version: u16, client: word, engine: word, worker: word, processId: u32 },
    answer: { version: u16, session: u32, daemonEpoch: word, heartbeatMs: u32 },
  },
  /** Opens (or finds) a namespace; its number is good in this session only. */
  openNamespace: {
    number: 2,
    ask: {
      tenant: word,
      model: word,
      revision: word,
      adapter: word,
      engine: word,
      rankIndex: u16,
      rankCount: u16,
      epoch: word,
      layout: layoutField,
    },
    answer: { namespace: u32, blockBytes: u64 },
  },
  /** Makes memory of the engine known. Its descriptor was handed in at the door under the same token before. */
  attachRegion: {
    number: 3,
    ask: { kind: oneOf(['shared', 'pool', 'device']), byteCount: u64, writable: u8, token: fixed(16) },
    answer: { region: u32 },
  },
  detachRegion: { number: 4, ask: { region: u32 }, answer: {} },
  /** How much of a chain is ready, and where: nothing moves. */
  lookup: {
    number: 5,
    ask: { namespace: u32, tokens: u32List(chainTokensMax) },
    answer: { readyBlocks: u32, byTier: perTier, loadMs: f64 },
  },
  /** Brings blocks [firstBlock, firstBlock + blockCount) of the chain into the engine's region, as a prefix: the answer
   *  counts how many consecutive ones arrived. `targets` names the block of the place for each; empty means firstBlock and on. */
  load: {
    number: 6,
    ask: {
      namespace: u32,
      tokens: u32List(chainTokensMax),
      firstBlock: u32,
      blockCount: u32,
      region: u32,
      place: placeField,
      targets: u32List(chainBlocksMax),
      deadlineMs: u32,
      /** What one block costs the engine to compute, in milliseconds; 0 when it does not know. */
      prefillMsPerBlock: f64,
    },
    answer: { readyBlocks: u32, byTier: perTier, stop: oneOf(loadStops), knownBlocks: u32 },
  },
  /** Takes blocks [firstBlock, firstBlock + blockCount) of the chain from the engine's region. The bytes must be still until the
   *  answer. `sources` names the block of the place for each; empty means firstBlock and on. */
  store: {
    number: 7,
    ask: {
      namespace: u32,
      tokens: u32List(chainTokensMax),
      firstBlock: u32,
      blockCount: u32,
      region: u32,
      place: placeField,
      sources: u32List(chainBlocksMax),
      /** Tokens that the request was answered with, for policies that learn from it; 0 when it is not known. */
      answerTokens: u32,
    },
    answer: { storedBlocks: u32, alreadyBlocks: u32, droppedBlocks: u32, drop: oneOf(storeDrops) },
  },
  /** The engine's own cache now holds exactly these prefixes (whole tokens of each); published as tier hbm of its worker. */
  held: {
    number: 8,
    ask: { namespace: u32, prefixes: list(u32List(chainTokensMax), sessionRegionsMax) },
    answer: {},
  },
  /** Routing names of a prompt. */
  name: {
    number: 9,
    ask: { namespace: u32, tokens: u32List(chainTokensMax) },
    answer: { scheme: word, blockTokens: u32, hashes: list(fixed(8), chainBlocksMax) },
  },
  /** What one request really got: the realised hits. Blocks and tokens, never text. */
  report: {
    number: 10,
    ask: {
      namespace: u32,
      promptTokens: u32,
      computedTokens: u32,
      tokensByTier: perTier,
      firstTokenMs: f64,
      prefillMsPerBlock: f64,
    },
    answer: {},
  },
  /** Keeps a quiet session alive. */
  ping: { number: 11, ask: {}, answer: {} },
} as const

export type MessageName = keyof typeof messages
export type Ask<Name extends MessageName> = RecordOf<(typeof messages)[Name]['ask']>
export type Answer<Name extends MessageName> = RecordOf<(typeof messages)[Name]['answer']>

/** Any ask, tagged by its message. */
export type AnyAsk = {
  [Name in MessageName]: { readonly message: Name; readonly fields: Ask<Name> }
}[MessageName]

const answerBit = 0x80
const errorNumber = 0xff
const errorField = record({ code: word, says: word })
export type WireError = RecordOf<{ code: Field<string>; says: Field<string> }>

const byNumber = new Map<number, MessageName>()
for (const name of Object.keys(messages) as MessageName[]) {
  assert(!byNumber.has(messages[name].number), 'message numbers are unique')
  byNumber.set(messages[name].number, name)
}

export type FrameHeader = { readonly frameBytes: number; readonly number: number; readonly ask: number }

/** Reads the 12 bytes before a frame's fields. */
export function readFrameHeader(
  bytes: Uint8Array,
):
  | { readonly as: 'header'; readonly header: FrameHeader }
  | { readonly as: 'refused'; readonly why: string } {
  try {
    const reader = new Reader(bytes)
    const frameBytes = reader.number(4, 'frame.length')
    const number = reader.number(1, 'frame.message')
    const zeros = reader.number(1, 'frame.zero') + reader.number(2, 'frame.zero')
    const ask = reader.number(4, 'frame.ask')
    if (frameBytes < frameHeaderBytes) return { as: 'refused', why: 'frame.length: below the header' }
    if (frameBytes > frameBytesMax) return { as: 'refused', why: `frame.length: above ${frameBytesMax}` }
    if (zeros !== 0) return { as: 'refused', why: 'frame.zero: not zero' }
    return { as: 'header', header: { frameBytes, number, ask } }
  } catch (error) {
    return { as: 'refused', why: whyOf(error) }
  }
}

export function encodeAsk<Name extends MessageName>(
  message: Name,
  ask: number,
  fields: Ask<Name>,
): Uint8Array {
  return frame(messages[message].number, ask, record(messages[message].ask) as Field<unknown>, fields)
}

export function encodeAnswer<Name extends MessageName>(
  message: Name,
  ask: number,
  fields: Answer<Name>,
): Uint8Array {
  return frame(
    messages[message].number | answerBit,
    ask,
    record(messages[message].answer) as Field<unknown>,
    fields,
  )
}

export function encodeError(ask: number, error: WireError): Uint8Array {
  const shortened = { code: error.code, says: error.says.slice(0, wireTextBytesMax / 4) }
  return frame(errorNumber, ask, errorField as Field<unknown>, shortened)
}

export type DecodedAsk = { readonly as: 'ask'; readonly value: AnyAsk } | Refused
export type Decoded<Value> =
  | { readonly as: 'value'; readonly value: Value }
  | { readonly as: 'error'; readonly error: WireError }
  | Refused
export type Refused = { readonly as: 'refused'; readonly why: string }

/** Decodes the fields of an ask. `body` is the frame without its header. */
export function decodeAsk(header: FrameHeader, body: Uint8Array): DecodedAsk {
  const message = byNumber.get(header.number)
  if (message === undefined) return { as: 'refused', why: `frame.message: unknown number ${header.number}` }
  try {
    return { as: 'ask', value: { message, fields: readAll(record(messages[message].ask), body) } as AnyAsk }
  } catch (error) {
    return { as: 'refused', why: `${message}.${whyOf(error)}` }
  }
}

/** Decodes the answer to an ask of the named message. */
export function decodeAnswer<Name extends MessageName>(
  message: Name,
  header: FrameHeader,
  body: Uint8Array,
): Decoded<Answer<Name>> {
  try {
    if (header.number === errorNumber) return { as: 'error', error: readAll(errorField, body) }
    if (header.number !== (messages[message].number | answerBit)) {
      return { as: 'refused', why: 'frame.message: not the answer to the ask' }
    }
    const fields = readAll(record(messages[message].answer), body)
    return { as: 'value', value: fields as Answer<Name> }
  } catch (error) {
    return { as: 'refused', why: `${message}.${whyOf(error)}` }
  }
}

function readAll<Value>(field: Field<Value>, body: Uint8Array): Value {
  const reader = new Reader(body)
  const value = field.read(reader, '')
  reader.end()
  return value
}

function frame(number: number, ask: number, field: Field<unknown>, fields: unknown): Uint8Array {
  const writer = new Writer(1_024)
  writer.number(4, 0, 'frame.length')
  writer.number(1, number, 'frame.message')
  writer.number(1, 0, 'frame.zero')
  writer.number(2, 0, 'frame.zero')
  writer.number(4, ask, 'frame.ask')
  field.write(writer, fields, '')
  const bytes = writer.done()
  assert(bytes.length <= frameBytesMax, 'a frame keeps its limit')
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(0, bytes.length, true)
  return bytes
}

function whyOf(error: unknown): string {
  if (error instanceof Malformed) return error.message
  throw error
}
