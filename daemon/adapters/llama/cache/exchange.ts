import {
  closeSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import type { Upstream } from '../engine/upstream.ts'
import {
  frameOf,
  type ReadAt,
  readSlotFile,
  type SlotFile,
  type SlotFrame,
  type SlotShape,
} from '../slot-file.ts'

/** A slot file that only this process can still reach: its name is gone or about to go. */
export type OpenFile = { readonly descriptor: number; readonly byteCount: number; readonly close: () => void }
export type SavedSlot =
  | { readonly as: 'saved'; readonly file: OpenFile; readonly content: SlotFile }
  | { readonly as: 'failed'; readonly why: string }

const namePattern = /^terrace-(\d+)-\d+\.slot$/

/** The folder where the server and the adapter meet: slot files are made, used once and unlinked. Why a new file each
 *  time: the daemon maps it, and a copy that comes late must neither meet another request's bytes nor a file that has
 *  become shorter. */
export class Exchange {
  readonly #folder: string
  #fileCount = 0

  constructor(folder: string) {
    this.#folder = folder
  }

  #newName(): string {
    this.#fileCount += 1
    return `terrace-${process.pid}-${this.#fileCount}.slot`
  }

  /** Lets the server save a slot and reads the tables of the file. The name is unlinked; the file lives until `close`. */
  async save(upstream: Upstream, slot: number): Promise<SavedSlot> {
    const filename = this.#newName()
    const path = join(this.#folder, filename)
    try {
      const reply = await upstream.post(`/slots/${slot}?action=save`, { filename })
      if (reply.as === 'error') return { as: 'failed', why: reply.says }
      if (reply.as === 'gone') return { as: 'failed', why: reply.why }
      const descriptor = openSync(path, 'r')
      const byteCount = fstatSync(descriptor).size
      const content = readSlotFile(readerOf(descriptor), byteCount)
      return {
        as: 'saved',
        file: { descriptor, byteCount, close: once(() => closeSync(descriptor)) },
        content,
      }
    } catch (error) {
      return { as: 'failed', why: (error as NodeJS.ErrnoException).code ?? 'unknown' }
    } finally {
      rmSync(path, { force: true })
    }
  }

  /** Makes a file for these tokens, complete but for the KV bytes, which the daemon fills in. `restore` hands it to
   *  the server; `foreignAt` makes one token differ, so that the server uses nothing from there on. */
  openFrame(shape: SlotShape, tokens: Uint32Array, blockTokens: number): FrameFile {
    const frame = frameOf(shape, tokens, blockTokens)
    const filename = this.#newName()
    const path = join(this.#folder, filename)
    const descriptor = openSync(path, 'wx+', 0o600)
    const close = once(() => {
      closeSync(descriptor)
      rmSync(path, { force: true })
    })
    try {
      ftruncateSync(descriptor, frame.fileBytes)
      for (const { offset, bytes } of frame.patches) writeSync(descriptor, bytes, 0, bytes.length, offset)
    } catch (error) {
      close()
      throw error
    }
    return {
      file: { descriptor, byteCount: frame.fileBytes, close },
      frame,
      restore: async (upstream, foreignAt) => {
        if (foreignAt !== null) {
          const word = new Uint8Array(new Uint32Array([foreignAt.token]).buffer)
          writeSync(descriptor, word, 0, 4, 12 + 4 * foreignAt.at)
        }
        const reply = await upstream.post(`/slots/${shape.sequence}?action=restore`, { filename })
        return reply.as === 'ok' ? null : reply.as === 'error' ? reply.says : reply.why
      },
    }
  }

  /** Removes what an adapter that was killed has left. */
  sweep(): void {
    for (const name of readdirSync(this.#folder)) {
      const pid = namePattern.exec(name)?.[1]
      if (pid !== undefined && !lives(Number(pid))) rmSync(join(this.#folder, name), { force: true })
    }
  }
}

export type FrameFile = {
  readonly file: OpenFile
  readonly frame: SlotFrame
  /** Null when the server took it, otherwise why not. */
  readonly restore: (
    upstream: Upstream,
    foreignAt: { readonly at: number; readonly token: number } | null,
  ) => Promise<string | null>
}

function readerOf(descriptor: number): ReadAt {
  return (offset, byteCount) => {
    const bytes = Buffer.alloc(byteCount)
    return bytes.subarray(0, readSync(descriptor, bytes, 0, byteCount, offset))
  }
}

function lives(pid: number): boolean {
  if (pid === process.pid) return true
  try {
    readFileSync(`/proc/${pid}/stat`)
    return true
  } catch {
    return false
  }
}

function once(run: () => void): () => void {
  let done = false
  return () => {
    if (done) return
    done = true
    run()
  }
}
