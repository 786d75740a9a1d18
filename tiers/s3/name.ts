import { assert } from '../block/assert.ts'
import { type BlockKey, keyHex } from '../block/id.ts'

/** Names of objects in the bucket: `<prefix>/v1/<namespace>/packs/<id>` and `…/index/<id>`. A namespace is named by digits of its
 *  fingerprint, never by its tenant or model. */
const formatFolder = 'v1'
const namespaceDigits = 32
const idForm = /^[0-9a-f]{12}-[0-9a-z]{4,32}-[0-9a-f]{6}$/

/** Names sort by time, and no two daemons can make the same one: milliseconds, the daemon, a counter. */
export type PackId = string

/** Longest pack id, in bytes: its place in the stored format. */
export const packIdBytesMax = 64

/** Names and reads pack ids of one daemon. */
export class PackNames {
  readonly #daemonId: string
  #counter = 0
  #lastMs = 0

  constructor(daemonId: string) {
    assert(/^[0-9a-z]{4,32}$/.test(daemonId), 'a daemon id is 4 to 32 lower-case letters and digits')
    this.#daemonId = daemonId
  }

  /** The next id. Never lower than the last one, even when the wall clock was set back. */
  next(wallMs: number): PackId {
    this.#lastMs = Math.max(this.#lastMs, Math.floor(wallMs))
    this.#counter = (this.#counter + 1) % 2 ** 24
    return `${hex(this.#lastMs, 12)}-${this.#daemonId}-${hex(this.#counter, 6)}`
  }

  isOwn(id: PackId): boolean {
    return id.split('-')[1] === this.#daemonId
  }
}

/** The id in the last part of an object's name, or null for a foreign object. */
export function packIdOf(objectName: string): PackId | null {
  const last = objectName.slice(objectName.lastIndexOf('/') + 1)
  return idForm.test(last) ? last : null
}

/** When the pack was made, in milliseconds since 1970, by its writer's clock. */
export function packWallMs(id: PackId): number {
  return Number.parseInt(id.slice(0, 12), 16)
}

/** An id that sorts before all that were made at or after this time. */
export function idBefore(wallMs: number): string {
  return hex(Math.max(0, Math.floor(wallMs)), 12)
}

/** The folder of a namespace, from its fingerprint. */
export function namespaceFolder(namespace: BlockKey): string {
  return keyHex(namespace).slice(0, namespaceDigits)
}

export function isNamespaceFolder(text: string): boolean {
  return text.length === namespaceDigits && /^[0-9a-f]+$/.test(text)
}

/** Object names below one prefix. */
export class ObjectNames {
  readonly root: string

  constructor(prefix: string) {
    this.root = `${prefix === '' ? '' : `${prefix}/`}${formatFolder}/`
  }

  packs(folder: string): string {
    return `${this.root}${folder}/packs/`
  }

  pack(folder: string, id: PackId): string {
    return this.packs(folder) + id
  }

  indexes(folder: string): string {
    return `${this.root}${folder}/index/`
  }

  index(folder: string, id: PackId): string {
    return this.indexes(folder) + id
  }

  probe(daemonId: string, name: string): string {
    return `${this.root}probe/${daemonId}-${name}`
  }
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0')
}
