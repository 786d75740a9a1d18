import type { PromptKind } from '../endpoints.ts'
import { type Choice, choose, type Server } from './choose.ts'
import type { AgainWhy, Json } from './composer.ts'

/** Failures in a row after which an API is no longer composed. Why not the first: the server may have failed for another reason
 *  than its stream. */
const failuresMax = 3

/** What is composed of an engine's streams. What turns out not to work with this engine is not tried for ever, because every such
 *  request is computed twice. */
export class Composing {
  readonly #avoided = new Set<PromptKind>()
  readonly #failures = new Map<PromptKind, number>()

  choose(kind: PromptKind, body: Json, server: Server): Choice {
    return this.#avoided.has(kind) ? { as: 'plain', why: 'avoided' } : choose(kind, body, server)
  }

  /** What came of composing an answer. A form that is not known is that of another release of the server. */
  saw(kind: PromptKind, outcome: 'composed' | AgainWhy): void {
    if (outcome === 'composed') this.#failures.delete(kind)
    if (outcome === 'failed') this.#failures.set(kind, (this.#failures.get(kind) ?? 0) + 1)
    if (outcome === 'unlike' || (this.#failures.get(kind) ?? 0) >= failuresMax) this.#avoided.add(kind)
  }

  avoided(): readonly PromptKind[] {
    return [...this.#avoided]
  }

  /** Another server has come up. */
  restart(): void {
    this.#avoided.clear()
    this.#failures.clear()
  }
}
