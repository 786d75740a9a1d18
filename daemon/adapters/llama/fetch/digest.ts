import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'

/** Hash of a whole file, read as a stream; `onBytes` tells how far it is. */
export async function digestOf(
  path: string,
  algorithm: 'sha256' | 'sha512',
  encoding: 'hex' | 'base64',
  onBytes: (byteCount: number) => void = () => undefined,
): Promise<string> {
  const hash = createHash(algorithm)
  let byteCount = 0
  for await (const piece of createReadStream(path, { highWaterMark: 2 ** 20 })) {
    hash.update(piece as Buffer)
    byteCount += (piece as Buffer).length
    onBytes(byteCount)
  }
  return hash.digest(encoding)
}
