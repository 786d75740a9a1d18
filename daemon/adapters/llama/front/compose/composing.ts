import type { PromptKind } from '../endpoints.ts'
import { type Choice, choose, type Server } from './choose.ts'
import type { Json } from './composer.ts'

/** What is composed of an engine's streams. */
export class Composing {
  readonly #avoided = new Set<PromptKind>()

  choose(kind: PromptKind, body: Json, server: Server): Choice {
    return this.#avoided.has(kind) ? { as: 'plain', why: 'unlike' } : choose(kind, body, server)
  }

  /** The streams of this API have another form than is known here. Why for good: it is another release of the server, so
   *  every request would be computed twice. */
  avoid(kind: PromptKind): void {
    this.#avoided.add(kind)
  }

  avoided(): readonly PromptKind[] {
    return [...this.#avoided]
  }

  /** Another server has come up. */
  restart(): void {
    this.#avoided.clear()
  }
}
