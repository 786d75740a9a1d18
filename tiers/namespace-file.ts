import { namespacesMax } from './block/limits.ts'
import { type Namespace, namespaceProblem } from './block/namespace.ts'
import type { StoreFiles } from './files.ts'
import type { NamespaceBook, OpenNamespace } from './namespaces.ts'

/** The namespaces of earlier lives, beside the slab: seals carry only fingerprints, but whoever is told about a
 *  recovered block
 *  wants its model's name. Losing the file costs announcements, not blocks. */
export class NamespaceFile {
  readonly #files: StoreFiles
  readonly #path: string
  #writing: Promise<void> = Promise.resolve()
  #dirty = false

  constructor(files: StoreFiles, directory: string) {
    this.#files = files
    this.#path = `${directory}/namespaces.json`
  }

  /** Opens every namespace of the file in the book. A file that cannot be read counts as empty. */
  async restore(book: NamespaceBook): Promise<void> {
    const text = await this.#files.readText(this.#path).catch(() => null)
    for (const namespace of decodeNamespaces(text ?? '')) book.open(namespace)
  }

  /** Writes the file anew; several calls while one write is under way become one. */
  save(all: () => readonly OpenNamespace[]): void {
    if (this.#dirty) return
    this.#dirty = true
    this.#writing = this.#writing.then(async () => {
      this.#dirty = false
      const text = JSON.stringify({ version: 1, namespaces: all().map(({ namespace }) => namespace) })
      await this.#files.writeText(this.#path, `${text}\n`).catch(() => undefined)
    })
  }

  async close(): Promise<void> {
    await this.#writing
  }
}

/** The namespaces in the text of the file, every field checked; none when it is damaged. */
export function decodeNamespaces(text: string): Namespace[] {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return []
  }
  if (!isRecord(json) || json.version !== 1 || !Array.isArray(json.namespaces)) return []
  return json.namespaces.slice(0, namespacesMax).flatMap((entry) => namespaceIn(entry) ?? [])
}

function namespaceIn(json: unknown): Namespace | null {
  if (!isRecord(json) || !isRecord(json.layout) || !isRecord(json.rank)) return null
  const { layout, rank } = json
  const words = ['tenant', 'model', 'revision', 'adapter', 'engine', 'epoch'].map((name) => json[name])
  if (!words.every((word) => typeof word === 'string') || !Array.isArray(layout.planes)) return null
  const [tenant = '', model = '', revision = '', adapter = '', engine = '', epoch = ''] = words as string[]
  const planes = layout.planes.map((plane: unknown) => {
    const fields = isRecord(plane) ? plane : {}
    return {
      name: String(fields.name),
      layerCount: Number(fields.layerCount),
      pieceBytes: Number(fields.pieceBytes),
    }
  })
  const namespace: Namespace = {
    ...{ tenant, model, revision, adapter, engine, epoch },
    layout: { blockTokens: Number(layout.blockTokens), dtype: String(layout.dtype), planes },
    rank: { index: Number(rank.index), count: Number(rank.count) },
  }
  return namespaceProblem(namespace) === null ? namespace : null
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
