import { createHmac } from 'node:crypto'
import { charactersPerToken } from '../trace/text.ts'

/** Tokens per block of a recording, cut by characters. */
const recordedBlockTokens = 16

/** What is noted of one request while it runs. */
export type Entry = {
  readonly atMs: number
  readonly inputTokens: number
  readonly blocks: readonly bigint[]
  readonly session: string | null
  readonly tenant: number
  /** Null while the answer runs. */
  outputTokens: number | null
  /** Prompt tokens that came from a cache, where the answer says. */
  cachedTokens: number | null
}

/** Requests in order of arrival, written out as native lines as soon as all before them are answered. Holds no prompt
 *  text: only keyed hashes of its pieces. */
export class RecordBook {
  readonly #waiting: Entry[] = []
  readonly #salt: Buffer
  readonly #write: (line: string) => void
  readonly #tenants = new Map<string, number>()
  written = 0

  constructor(salt: Buffer, write: (line: string) => void) {
    this.#salt = salt
    this.#write = write
  }

  /** Notes a request. `owner` is what tells tenants apart (a key): it is only compared, never kept as it is. */
  open(atMs: number, prompt: string, session: string | null, owner: string): Entry {
    const entry: Entry = {
      atMs,
      inputTokens: Math.ceil(prompt.length / charactersPerToken),
      blocks: this.#blocksOf(prompt),
      session: session === null ? null : this.#digest(`session ${session}`).toString('hex', 0, 6),
      tenant: this.#tenantOf(owner),
      outputTokens: null,
      cachedTokens: null,
    }
    this.#waiting.push(entry)
    return entry
  }

  /** The answer is over. */
  close(entry: Entry, outputTokens: number, cachedTokens: number | null): void {
    entry.outputTokens = outputTokens
    entry.cachedTokens = cachedTokens
    this.#flush(false)
  }

  /** Writes what still waits: the recording ends. */
  end(): void {
    this.#flush(true)
  }

  #flush(all: boolean): void {
    for (let head = this.#waiting[0]; head !== undefined; head = this.#waiting[0]) {
      if (head.outputTokens === null && !all) return
      this.#waiting.shift()
      this.#write(lineOf(head))
      this.written += 1
    }
  }

  /** Each id stands for the whole prompt up to and including its piece. */
  #blocksOf(prompt: string): bigint[] {
    const pieceLength = recordedBlockTokens * charactersPerToken
    const blocks: bigint[] = []
    let before = 0n
    for (let from = 0; from < prompt.length; from += pieceLength) {
      const digest = this.#digest(`${before} ${prompt.slice(from, from + pieceLength)}`)
      before = digest.readBigUInt64LE(0) & (2n ** 53n - 1n)
      blocks.push(before)
    }
    return blocks
  }

  #tenantOf(owner: string): number {
    const digest = this.#digest(`tenant ${owner}`).toString('hex')
    const known = this.#tenants.get(digest) ?? this.#tenants.size
    this.#tenants.set(digest, known)
    return known
  }

  #digest(text: string): Buffer {
    return createHmac('sha256', this.#salt).update(text).digest()
  }
}

function lineOf(entry: Entry): string {
  const { atMs, inputTokens, outputTokens, blocks, session, tenant, cachedTokens } = entry
  const head = `{"timestamp":${Math.round(atMs)},"input_length":${inputTokens},"output_length":${outputTokens ?? 0}`
  const named = session === null ? '' : `,"session_id":"${session}"`
  const cached = cachedTokens === null ? '' : `,"cached_tokens":${cachedTokens}`
  return `${head},"hash_ids":[${blocks.join(',')}]${named},"tenant":"tenant-${tenant}"${cached}}\n`
}
