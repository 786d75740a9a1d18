import type { Native } from '../../addon/native.ts'
import type { World } from '../block/clock.ts'
import type { BlockKey } from '../block/id.ts'
import { s3RetryMs } from '../block/limits.ts'
import { type Damage, damageOf, readSeal } from '../block/seal.ts'
import type { ReadResult, ReadWanted } from '../tier.ts'
import type { Answer, Bucket } from './bucket.ts'
import { Landing, type LandingPiece, type WrongAnswer } from './landing.ts'
import type { ObjectNames } from './name.ts'
import type { Capabilities } from './probe.ts'
import { refusalText } from './refusal.ts'
import { planRuns, type Run } from './run.ts'
import type { Pack, Shelf } from './shelf.ts'
import type { Tempo } from './tempo.ts'

type WantedPiece = LandingPiece & {
  readonly wanted: ReadWanted
  readonly answer: (result: ReadResult) => void
  /** Whether its result is known already: what happens to the rest of its run is not about it any more. */
  readonly answered: () => boolean
}

export type ReaderParts = {
  readonly native: Pick<Native, 'windowOf' | 'crc32c'>
  readonly world: World
  readonly bucket: Bucket
  readonly names: ObjectNames
  readonly shelf: Shelf
  readonly tempo: Tempo
  capabilities(): Capabilities
  restMs(): number
  onBytes(byteCount: number): void
  onDamaged(key: BlockKey, why: Damage): void
  /** The pack is not in the store any more, or not the one we knew. `asked` are the keys this read answers for itself. */
  onPackLost(pack: Pack, why: 'evicted' | 'damaged', asked: ReadonlySet<BlockKey>): void
}

/** Reads blocks out of packs: few ranged GETs, payloads straight into their spans, every block checked on its own. */
export class Reader {
  readonly #parts: ReaderParts

  constructor(parts: ReaderParts) {
    this.#parts = parts
  }

  async read(wanted: readonly ReadWanted[], deadlineMs: number): Promise<readonly ReadResult[]> {
    const { native, shelf, world } = this.#parts
    const results: (ReadResult | null)[] = wanted.map(() => null)
    const byPack = new Map<Pack, WantedPiece[]>()
    for (const [i, one] of wanted.entries()) {
      const place = shelf.placeOf(one.wanted.key)
      if (place === null) {
        results[i] = { as: 'missing' }
        continue
      }
      if (place.payloadBytes !== one.wanted.payloadBytes || place.payloadBytes !== one.into.byteCount) {
        this.#damaged(one, 'length', (result) => {
          results[i] = result
        })
        continue
      }
      const pieces = byPack.get(place.pack) ?? []
      byPack.set(place.pack, pieces)
      pieces.push({
        offset: place.offset,
        payloadBytes: place.payloadBytes,
        window: native.windowOf(one.into.region, one.into.offset, one.into.byteCount),
        wanted: one,
        answer: (result) => {
          results[i] ??= result
        },
        answered: () => results[i] !== null,
      })
    }
    const startMs = world.nowMs()
    const asked = new Set(wanted.map((one) => one.wanted.key))
    const runs = [...byPack].flatMap(([pack, pieces]) =>
      planRuns(pieces).map((run) => this.#run(pack, run, deadlineMs, asked)),
    )
    const queuedBytes = [...byPack.values()].flat().reduce((sum, piece) => sum + piece.payloadBytes, 0)
    this.#parts.tempo.queued(queuedBytes)
    const firstMs = await Promise.all(runs)
    this.#parts.tempo.queued(-queuedBytes)
    const came = firstMs.filter((ms) => ms !== null)
    if (came.length > 0 && came.length === runs.length) {
      const totalMs = world.nowMs() - startMs
      this.#parts.tempo.measured(queuedBytes, Math.min(...came) - startMs, totalMs)
    }
    return results.map((result) => result ?? { as: 'failed', why: 'no answer' })
  }

  /** One GET. Returns when its first byte came, or null when it was not a whole success. */
  async #run(
    pack: Pack,
    run: Run<WantedPiece>,
    deadlineMs: number,
    asked: ReadonlySet<BlockKey>,
  ): Promise<number | null> {
    const { bucket, names, world, capabilities, onBytes, shelf } = this.#parts
    const landing = new Landing(run, pack.byteCount, (piece, seal) => this.#landed(piece, seal))
    let firstMs: number | null = null
    const sink = {
      begin: landing.begin.bind(landing),
      take: (chunk: Uint8Array) => {
        firstMs ??= world.nowMs()
        onBytes(chunk.length)
        return landing.take(chunk)
      },
    }
    const range = capabilities().rangedGet ? { first: run.first, last: run.last } : null
    const answer = await bucket.get(names.pack(pack.folder, pack.id), range, sink, {
      urgency: 'read',
      deadlineMs,
    })
    const wrong = answer.as === 'ok' ? landing.wrong() : null
    if (answer.as === 'ok' && wrong === null) {
      shelf.touch(pack)
      return firstMs
    }
    this.#answerRest(pack, run, answer, wrong, asked)
    return null
  }

  /** Blocks that came before the error stand; the rest of the run gets what the error means. */
  #answerRest(
    pack: Pack,
    run: Run<WantedPiece>,
    answer: Answer<null>,
    wrong: WrongAnswer | null,
    asked: ReadonlySet<BlockKey>,
  ): void {
    const pieces = run.pieces.filter((piece) => !piece.answered())
    switch (answer.as) {
      case 'ok':
      case 'range':
        // The object has another length than its index says: nothing in it is to be trusted.
        if (wrong === 'other_length' || answer.as === 'range') {
          this.#parts.onPackLost(pack, 'damaged', asked)
        }
        for (const piece of pieces) this.#damaged(piece.wanted, 'length', piece.answer)
        return
      case 'absent':
        this.#parts.onPackLost(pack, 'evicted', asked)
        for (const piece of pieces) piece.answer({ as: 'missing' })
        return
      case 'late':
      case 'slow_down':
        for (const piece of pieces) {
          piece.answer({ as: 'busy', retryAfterMs: Math.max(s3RetryMs, this.#parts.restMs()) })
        }
        return
      default:
        for (const piece of pieces) piece.answer({ as: 'failed', why: refusalText(answer) })
    }
  }

  #landed(piece: WantedPiece, sealBytes: Uint8Array): void {
    const read = readSeal(sealBytes, 0)
    const checksum = this.#parts.native.crc32c(piece.window, 0)
    const damage = damageOf(read, { ...piece.wanted.wanted, generation: 0 }, checksum)
    if (damage !== null || read.as === 'damaged') {
      this.#damaged(piece.wanted, damage ?? 'magic', piece.answer)
    } else piece.answer({ as: 'found', seal: read.seal })
  }

  #damaged(one: ReadWanted, why: Damage, answer: (result: ReadResult) => void): void {
    this.#parts.onDamaged(one.wanted.key, why)
    answer({ as: 'damaged', why })
  }
}
