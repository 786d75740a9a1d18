import { type Layout, layoutFingerprint, layoutProblem } from './layout.ts'
import { sha256 } from './sha256.ts'

/** Everything besides the tokens that changes the bytes of a block. Two blocks may stand for each other only when
 *  all of it is equal; a field too few here is somebody else's text. */
export type Namespace = {
  readonly tenant: string
  readonly model: string
  /** Revision or content hash of the weights. */
  readonly revision: string
  /** LoRA or other adapters in effect, in order; empty for none. */
  readonly adapter: string
  /** Engine, release and whatever of its set-up changes KV bits (kernel set, attention kind). */
  readonly engine: string
  readonly layout: Layout
  readonly rank: { readonly index: number; readonly count: number }
  /** Changes when the engine changes weights in place; empty for an engine that never does. */
  readonly epoch: string
}

/** Why a namespace cannot be used, or null. */
export function namespaceProblem(namespace: Namespace): string | null {
  for (const field of ['tenant', 'model', 'revision', 'engine'] as const) {
    if (namespace[field] === '') return `namespace.${field} must not be empty`
  }
  const { index, count } = namespace.rank
  if (!Number.isInteger(count) || count < 1) return 'namespace.rank.count must be at least 1'
  if (!Number.isInteger(index) || index < 0 || index >= count)
    return 'namespace.rank.index must be below rank.count'
  return layoutProblem(namespace.layout)
}

/** The canonical text of a namespace: every field with its length, so that no two differ only in where one
 *  field ends. */
export function namespaceText(namespace: Namespace): string {
  const fields = [
    namespace.tenant,
    namespace.model,
    namespace.revision,
    namespace.adapter,
    namespace.engine,
    layoutFingerprint(namespace.layout),
    `${namespace.rank.index}/${namespace.rank.count}`,
    namespace.epoch,
  ]
  const utf8 = new TextEncoder()
  return `terrace-namespace-1|${fields.map((field) => `${utf8.encode(field).length}:${field}`).join('|')}`
}

/** 32 bytes that differ whenever the namespace does. */
export function namespaceFingerprint(namespace: Namespace): Uint8Array {
  return sha256(new TextEncoder().encode(namespaceText(namespace)))
}
