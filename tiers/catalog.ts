import { fork } from 'node:child_process'
import { existsSync } from 'node:fs'
import { open, type RootDatabase, type RootDatabaseOptionsWithPath } from 'lmdb'
import { beforeDeadline, type World } from './block/clock.ts'
import { crc32c } from './block/crc32c.ts'
import { type BlockKey, keyByteCount, type SlotIndex, writeKey } from './block/id.ts'
import { readSeal, type Seal, sealByteCount, writeSeal } from './block/seal.ts'

/** One block as the catalog knows it: its seal and where it lies in the slab. */
export type CatalogEntry = { readonly seal: Seal; readonly index: SlotIndex }

/** Makes restart fast, and is never trusted: the seals in the data decide. Nothing here rejects; a catalog that
 *  fails once is off until
 *  the next start, and is then made anew from the data. */
export interface Catalog {
  readonly state: 'on' | 'off'
  /** Why it is off; empty while it is on, and until a failed commit has told its cause. */
  readonly why: string
  /** Everything written under this slab, or null when the catalog cannot say: then the slab is scanned. */
  entriesOf(slabId: string): Promise<readonly CatalogEntry[] | null>
  /** Empties it for a slab. */
  begin(slabId: string): Promise<void>
  put(entries: readonly CatalogEntry[]): Promise<void>
  /** Resolves when no reader after a crash can find the keys any more. */
  remove(keys: readonly BlockKey[]): Promise<void>
  close(): Promise<void>
}

/** Longest wait for one call, in milliseconds. Why: after some failures lmdb never settles a write again. */
const callMsMax = 5_000
const probeMsMax = 30_000
/** A failed commit of lmdb rejects what it was asked for first, and says its cause a moment later, elsewhere: so long it is
 *  waited for, in milliseconds. */
const causeMsMax = 1_000
const causeToCome = ''
const recordBytes = sealByteCount + 8
/** Sorts before every block key of the same length or more, and is shorter than one. */
const slabIdKey = Buffer.from([0])

export function encodeRecord(entry: CatalogEntry): Uint8Array {
  const record = new Uint8Array(recordBytes)
  writeSeal(entry.seal, record, 0)
  const view = new DataView(record.buffer)
  view.setUint32(sealByteCount, entry.index, true)
  view.setUint32(sealByteCount + 4, crc32c(record.subarray(0, sealByteCount + 4)), true)
  return record
}

export function decodeRecord(record: Uint8Array): CatalogEntry | null {
  if (record.length !== recordBytes) return null
  const view = new DataView(record.buffer, record.byteOffset, record.length)
  if (view.getUint32(sealByteCount + 4, true) !== crc32c(record.subarray(0, sealByteCount + 4))) return null
  const read = readSeal(record, 0)
  if (read.as !== 'seal') return null
  return { seal: read.seal, index: view.getUint32(sealByteCount, true) as SlotIndex }
}

/** Opens the catalog in a directory. One that is there already is first read whole in a child process: damage can end the
 *  process that meets it. */
export async function openLmdbCatalog(path: string, world: World): Promise<Catalog> {
  const isWhole = !existsSync(path) || (await probe(path))
  if (!isWhole) return new LmdbCatalog(path, world, null, 'damaged')
  try {
    return new LmdbCatalog(path, world, openLmdb(path), '')
  } catch (error) {
    return new LmdbCatalog(path, world, null, nameOf(error))
  }
}

/** Reads everything there is, and ends the process with 0. Run by the child only. */
export function readWhole(path: string): number {
  const database = openLmdb(path)
  let count = 0
  for (const { value } of database.getRange({})) count += (value as Buffer).length > 0 ? 1 : 0
  return count
}

function openLmdb(path: string): RootDatabase<Buffer, Buffer> {
  const options: RootDatabaseOptionsWithPath & { safeRestore: boolean } = {
    path,
    encoding: 'binary',
    keyEncoding: 'binary',
    // Without it a newer but unflushed state is taken as whole after a lost mount.
    safeRestore: true,
    overlappingSync: false,
    maxReaders: 32,
  }
  return open<Buffer, Buffer>(options)
}

function probe(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const child = fork(new URL('./catalog-probe.ts', import.meta.url), [path], {
      stdio: 'ignore',
      execArgv: [],
      timeout: probeMsMax,
      killSignal: 'SIGKILL',
    })
    child.once('error', () => resolve(false))
    child.once('exit', (code) => resolve(code === 0))
  })
}

class LmdbCatalog implements Catalog {
  readonly #path: string
  readonly #world: World
  #database: RootDatabase<Buffer, Buffer> | null
  #why: string
  #forgetCause: () => void = () => undefined
  /** A failed commit of lmdb also rejects promises that nobody can reach; unhandled they would end the process. */
  readonly #orphan = (reason: unknown): void => {
    const isOurs =
      reason instanceof Error &&
      /node_modules.lmdb|MDB_|Commit failed/.test(`${reason.message} ${reason.stack ?? ''}`)
    if (!isOurs) throw reason
    this.#off(nameOf(reason))
  }

  constructor(path: string, world: World, database: RootDatabase<Buffer, Buffer> | null, why: string) {
    this.#path = path
    this.#world = world
    this.#database = database
    this.#why = why
    process.on('unhandledRejection', this.#orphan)
  }

  get state(): 'on' | 'off' {
    return this.#database === null ? 'off' : 'on'
  }

  get why(): string {
    return this.#why
  }

  async entriesOf(slabId: string): Promise<readonly CatalogEntry[] | null> {
    const entries = await this.#call(async (database) => {
      if (database.get(slabIdKey)?.toString('latin1') !== slabId) return null
      const found: CatalogEntry[] = []
      for (const { key, value } of database.getRange({})) {
        if (key.length !== keyByteCount) continue
        const entry = decodeRecord(value)
        // One damaged record shows that more of the file may be: the data is asked instead.
        if (entry === null) return null
        found.push(entry)
      }
      return found
    })
    return entries ?? null
  }

  async begin(slabId: string): Promise<void> {
    if (this.#database === null) await this.#anew()
    await this.#call(async (database) => {
      await database.clearAsync()
      await database.put(slabIdKey, Buffer.from(slabId, 'latin1'))
    })
  }

  async put(entries: readonly CatalogEntry[]): Promise<void> {
    await this.#call((database) =>
      Promise.all(
        entries.map((entry) => database.put(keyBytes(entry.seal.key), Buffer.from(encodeRecord(entry)))),
      ),
    )
  }

  async remove(keys: readonly BlockKey[]): Promise<void> {
    await this.#call((database) => Promise.all(keys.map((key) => database.remove(keyBytes(key)))))
  }

  async close(): Promise<void> {
    const database = this.#database
    this.#forgetCause()
    this.#database = null
    this.#why = 'closed'
    if (database !== null)
      await beforeDeadline(this.#world, this.#world.nowMs() + callMsMax, quiet(database.close()))
    process.off('unhandledRejection', this.#orphan)
  }

  /** A fresh, empty catalog in place of a damaged one. */
  async #anew(): Promise<void> {
    const { rm } = await import('node:fs/promises')
    try {
      await rm(this.#path, { recursive: true, force: true })
      this.#database = openLmdb(this.#path)
      this.#why = ''
    } catch (error) {
      this.#why = nameOf(error)
    }
  }

  async #call<Value>(
    work: (database: RootDatabase<Buffer, Buffer>) => Promise<Value>,
  ): Promise<Value | null> {
    const database = this.#database
    if (database === null) return null
    try {
      const done = await beforeDeadline(this.#world, this.#world.nowMs() + callMsMax, work(database))
      if (done !== null) return done.value
      this.#off('no answer')
    } catch (error) {
      this.#off(nameOf(error))
    }
    return null
  }

  /** From here on the file is stale: it must not be believed at the next start. */
  #off(why: string): void {
    const database = this.#database
    if (database === null) {
      if (this.#why === causeToCome) this.#why = why
      return
    }
    this.#database = null
    this.#why = why
    if (why === causeToCome)
      this.#forgetCause = this.#world.after(causeMsMax, () => this.#off('a commit failed'))
    void quiet(database.close())
    void import('node:fs/promises').then(({ rm }) => quiet(rm(this.#path, { recursive: true, force: true })))
  }
}

function keyBytes(key: BlockKey): Buffer {
  const bytes = Buffer.alloc(keyByteCount)
  writeKey(key, bytes, 0)
  return bytes
}

async function quiet(work: Promise<unknown>): Promise<void> {
  await work.catch(() => undefined)
}

/** The few words that count failures of a catalog, out of what lmdb or the system said. */
export function catalogFailureOf(why: string): string {
  if (/ENOSPC|EDQUOT|No space left|quota/i.test(why)) return 'no_space'
  if (/EFBIG|File too large|MDB_MAP_FULL/i.test(why)) return 'file_limit'
  if (/EIO|Input\/output/i.test(why)) return 'drive'
  if (why === 'no answer') return 'no_answer'
  return why === 'damaged' ? 'damaged' : 'other'
}

function nameOf(error: unknown): string {
  const isCause = error instanceof Error && !('commitError' in error)
  return isCause ? error.message.slice(0, 120) : causeToCome
}
