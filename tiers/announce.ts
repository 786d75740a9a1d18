import type { KvEvent, RemovedWhy } from './block/event.ts'
import type { NamespaceId, TierName } from './block/id.ts'
import { eventBlocksMax } from './block/limits.ts'
import type { RouteHash } from './block/route.ts'
import { holderOf, type NamespaceBook } from './namespaces.ts'

type Change =
  | { readonly kind: 'stored'; readonly tier: TierName; readonly namespace: NamespaceId }
  | {
      readonly kind: 'removed'
      readonly tier: TierName
      readonly namespace: NamespaceId
      readonly why: RemovedWhy
    }

/** Collects what the tiers stored and dropped into events, in order: neighbours of one kind and holder become one. */
export class Announcer {
  readonly #book: NamespaceBook
  #listener: (event: KvEvent) => void = () => undefined
  #change: Change | null = null
  #blocks: RouteHash[] = []
  #flushing = false

  constructor(book: NamespaceBook) {
    this.#book = book
  }

  listen(listener: (event: KvEvent) => void): void {
    this.#listener = listener
  }

  stored(tier: TierName, namespace: NamespaceId, route: RouteHash): void {
    this.#add({ kind: 'stored', tier, namespace }, route)
  }

  removed(tier: TierName, namespace: NamespaceId, route: RouteHash, why: RemovedWhy): void {
    this.#add({ kind: 'removed', tier, namespace, why }, route)
  }

  /** Hands out what was collected. Called by itself at the end of the turn. */
  flush(): void {
    const [change, blocks] = [this.#change, this.#blocks]
    this.#change = null
    this.#blocks = []
    if (change === null) return
    const opened = this.#book.of(change.namespace)
    if (opened === null) return
    const holder = holderOf(opened, change.tier)
    if (change.kind === 'stored') this.#listener({ kind: 'stored', holder, blocks })
    else this.#listener({ kind: 'removed', holder, blocks, why: change.why })
  }

  #add(change: Change, route: RouteHash): void {
    if (this.#change === null || !sameChange(this.#change, change) || this.#blocks.length >= eventBlocksMax) {
      this.flush()
    }
    this.#change = change
    this.#blocks.push(route)
    if (this.#flushing) return
    this.#flushing = true
    queueMicrotask(() => {
      this.#flushing = false
      this.flush()
    })
  }
}

function sameChange(a: Change, b: Change): boolean {
  const whyOf = (change: Change): string => (change.kind === 'removed' ? change.why : '')
  return a.kind === b.kind && a.tier === b.tier && a.namespace === b.namespace && whyOf(a) === whyOf(b)
}
