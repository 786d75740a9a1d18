import { open, readFile, rename, rm, stat, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { World } from './block/clock.ts'
import { type Catalog, openLmdbCatalog } from './catalog.ts'

/** The few bytes of the slab that JavaScript reads and writes itself: the segment table, and headers during recovery. */
export interface SlabFile {
  /** Reads at most `into.length` bytes; how many there were. */
  read(offset: number, into: Uint8Array): Promise<number>
  write(offset: number, bytes: Uint8Array): Promise<void>
  sync(): Promise<void>
  close(): Promise<void>
}

/** What the tiers ask of the file system beside the native side. The simulator brings its own. */
export interface StoreFiles {
  /** Length of a file in bytes, or null when there is none. */
  bytesOf(path: string): Promise<number | null>
  freeBytes(directory: string): Promise<number>
  openSlab(path: string): Promise<SlabFile>
  readText(path: string): Promise<string | null>
  /** Replaces a file whole: after a crash it has its old or its new text. */
  writeText(path: string, text: string): Promise<void>
  remove(path: string): Promise<void>
  /** Opens the catalog in a directory. Never rejects: a catalog that cannot be used says so. */
  openCatalog(path: string, world: World): Promise<Catalog>
}

/** The machine's file system. */
export const realFiles: StoreFiles = {
  bytesOf: (path) => bytesOfFile(path),
  freeBytes: (directory) => freeBytesOf(directory),
  openSlab: (path) => openSlabFile(path),
  readText: (path) => readTextFile(path),
  writeText: (path, text) => writeTextFile(path, text),
  remove: (path) => rm(path, { recursive: true, force: true }),
  openCatalog: openLmdbCatalog,
}

async function bytesOfFile(path: string): Promise<number | null> {
  try {
    return (await stat(path)).size
  } catch (error) {
    if (isAbsent(error)) return null
    throw error
  }
}

async function freeBytesOf(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory)
  return bavail * bsize
}

async function openSlabFile(path: string): Promise<SlabFile> {
  const handle = await open(path, 'r+')
  return {
    read: async (offset, into) => (await handle.read(into, 0, into.length, offset)).bytesRead,
    write: async (offset, bytes) => {
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, offset + done)
        done += bytesWritten
      }
    },
    sync: () => handle.datasync(),
    close: () => handle.close(),
  }
}

async function readTextFile(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (isAbsent(error)) return null
    throw error
  }
}

async function writeTextFile(path: string, text: string): Promise<void> {
  const fresh = `${path}.new`
  const handle = await open(fresh, 'w', 0o600)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(fresh, path)
  const directory = await open(dirname(path), 'r')
  await directory.sync().finally(() => directory.close())
}

function isAbsent(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}
