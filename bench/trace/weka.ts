import { Chance } from '../chance.ts'
import { RequestDraft as Draft, type RequestDraft } from './builder.ts'
import {
  BadRecord,
  countIn,
  type DocumentReader,
  fieldsOf,
  type ReaderContext,
  type TraceFormat,
} from './reader.ts'
import { isTar, tarFiles } from './tar.ts'

type Fields = Readonly<Record<string, unknown>>

/** Sessions of kv-cache-tester (WEKA): one JSON document per coding session, alone or in a tar archive. */
export const weka: TraceFormat = {
  name: 'weka',
  kind: 'documents',
  about:
    'a JSON session {id, block_size, hash_id_scope, tool_tokens, requests: [{t, in, out, hash_ids}]}, or a tar of them',
  fits: ({ bytes, firstLine }) =>
    isTar(bytes) ||
    (/^\s*\{/.test(firstLine) && /"hash_id_scope"|"requests"\s*:/.test(firstLine.slice(0, 4_096))),
  open: (context) => new WekaReader(context),
}

/** One request on its way into the trace, ordered by arrival. */
type Planned = {
  readonly atMs: number
  readonly session: string
  readonly scope: Scope
  readonly fields: Fields
}
/** Which blocks may be equal: those of one file, and the shared head of sessions with equal tool definitions. */
type Scope = { readonly file: number; readonly toolTokens: number; readonly sharedBlocks: number }

class WekaReader implements DocumentReader {
  readonly #context: ReaderContext
  readonly #planned: Planned[] = []
  readonly #chance: Chance
  #files = 0
  #blockTokens: number | null = null

  constructor(context: ReaderContext) {
    this.#context = context
    this.#chance = new Chance(context.seed)
  }

  document(name: string, bytes: Uint8Array): void {
    if (!isTar(bytes)) {
      this.#session(name, bytes)
      return
    }
    for (const file of tarFiles(bytes)) if (file.name.endsWith('.json')) this.#session(file.name, file.bytes)
  }

  finish(): number {
    const { context, sharing } = { context: this.#context, sharing: this.#context.sessions }
    this.#planned.sort((a, b) => a.atMs - b.atMs)
    const startMs = this.#planned[0]?.atMs ?? 0
    const draft = new Draft()
    for (const request of this.#planned) {
      fillRequest(request, startMs, draft)
      context.builder.add(draft)
    }
    context.assume(
      `${this.#files} sessions start at random within ${sharing.spreadHours} h (seed ${context.seed})`,
    )
    context.assume(`idle gaps above ${sharing.idleCutMinutes} min are cut to that`)
    const shared =
      'sessions with equal tool_tokens share the blocks inside their tool definitions, nothing else is shared'
    context.assume(sharing.isolated ? 'nothing is shared between sessions' : shared)
    context.assume('full blocks only: the tail of a prompt is no reference')
    return context.blockTokens ?? this.#blockTokens ?? 64
  }

  #session(name: string, bytes: Uint8Array): void {
    const root = parsedSession(name, bytes)
    const blockTokens = countIn(root, 'block_size')
    this.#blockTokens ??= blockTokens
    if (blockTokens !== this.#blockTokens)
      throw new BadRecord(`${name}: block_size differs from the sessions before`)
    const { spreadHours, idleCutMinutes, isolated } = this.#context.sessions
    const startMs = this.#chance.next() * spreadHours * 3_600_000
    const toolTokens = isolated ? 0 : Number(root.tool_tokens ?? 0)
    const local = { file: this.#files, toolTokens, sharedBlocks: Math.floor(toolTokens / blockTokens) }
    this.#files += 1
    const id = String(root.id ?? name)
    const plan = (list: unknown, baseMs: number, session: string, scope: Scope): void => {
      if (!Array.isArray(list)) throw new BadRecord(`${name}: field "requests" must be a list`)
      let cutMs = 0
      let lastMs = 0
      for (const entry of list) {
        const fields = fieldsOf(entry)
        if (fields === null) throw new BadRecord(`${name}: a request is not an object`)
        const ownMs = timeIn(name, fields)
        cutMs += Math.max(0, ownMs - lastMs - idleCutMinutes * 60_000)
        lastMs = Math.max(lastMs, ownMs)
        const atMs = baseMs + ownMs - cutMs
        if (fields.type === 'subagent') {
          const agent = `${id}/${String(fields.agent_id ?? this.#planned.length)}`
          plan(fields.requests, atMs, agent, { ...scope, toolTokens: 0, sharedBlocks: 0 })
        } else this.#planned.push({ atMs, session, scope, fields })
      }
    }
    plan(root.requests, startMs, id, local)
  }
}

function timeIn(name: string, fields: Fields): number {
  if (typeof fields.t === 'number' && fields.t >= 0) return fields.t * 1_000
  throw new BadRecord(`${name}: field "t" of a request must be a number of at least 0`)
}

function parsedSession(name: string, bytes: Uint8Array): Fields {
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'))
  } catch (error) {
    throw new BadRecord(`${name}: not JSON (${error instanceof Error ? error.message : String(error)})`)
  }
  const fields = fieldsOf(value)
  if (fields === null) throw new BadRecord(`${name}: not a JSON object`)
  return fields
}

function fillRequest(request: Planned, startMs: number, draft: RequestDraft): void {
  const { fields, scope } = request
  draft.clear()
  draft.arrivalMs = request.atMs - startMs
  draft.session = request.session
  draft.inputTokens = countIn(fields, 'in')
  draft.outputTokens = countIn(fields, 'out')
  if (typeof fields.think_time === 'number') draft.delayMs = fields.think_time * 1_000
  if (!Array.isArray(fields.hash_ids)) throw new BadRecord('field "hash_ids" must be a list of block ids')
  for (const [position, id] of fields.hash_ids.entries()) {
    if (!Number.isInteger(id)) throw new BadRecord(`field "hash_ids[${position}]" must be an integer`)
    if (position < scope.sharedBlocks) draft.pushBlock(position, -scope.toolTokens)
    else draft.pushBlock(id, scope.file + 1)
  }
}
