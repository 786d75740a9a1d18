import { createHash } from 'node:crypto'
import { statSync } from 'node:fs'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Namespace } from '../../../../tiers/block/namespace.ts'
import { digestOf } from '../fetch/digest.ts'
import type { OnProgress } from '../fetch/problem.ts'
import { blockLayoutOf, type CacheShape } from '../slot-file.ts'

/** What of an engine decides the bits of its KV, besides tokens and tenant. */
export type Identity = {
  readonly model: string
  readonly modelSha256: string
  readonly build: string
  /** Hash of the KV that this server computes for a fixed prompt. Kernels, device, number of bits and attention kind
   *  all show in it, so that engines share blocks exactly when they compute the same bits. */
  readonly computation: string
  readonly adapters: string
  readonly shape: CacheShape
  readonly blockTokens: number
}

export function namespaceOf(identity: Identity, tenant: string): Namespace {
  return {
    tenant,
    model: identity.model,
    revision: identity.modelSha256,
    adapter: identity.adapters,
    engine: `llama.cpp ${identity.build} computes ${identity.computation}`,
    layout: blockLayoutOf(identity.shape, identity.blockTokens),
    rank: { index: 0, count: 1 },
    epoch: '',
  }
}

/** Hash of a model file. It is kept in the data folder under path, size, times and inode, since hashing a large model
 *  takes minutes; whoever replaces a file without changing any of those has asked for it. */
export async function modelDigest(path: string, dataFolder: string, onProgress: OnProgress): Promise<string> {
  const { size, mtimeMs, ctimeMs, ino, dev } = statSync(path)
  const stamp = `${path}|${size}|${mtimeMs}|${ctimeMs}|${ino}|${dev}`
  const kept = join(
    dataFolder,
    'model-digests',
    createHash('sha256').update(stamp).digest('hex').slice(0, 32),
  )
  const known = await readFile(kept, 'utf8').catch(() => '')
  if (/^[0-9a-f]{64}$/.test(known)) return known
  const digest = await digestOf(path, 'sha256', 'hex', (done) =>
    onProgress({ step: 'hash the model', done, total: size }),
  )
  await mkdir(join(dataFolder, 'model-digests'), { recursive: true, mode: 0o700 })
  await writeFile(`${kept}.${process.pid}`, digest, { mode: 0o600 })
  await rename(`${kept}.${process.pid}`, kept)
  return digest
}
