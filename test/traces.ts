import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { PassThrough } from 'node:stream'
import type { BenchIo } from '../bench/io.ts'
import { traceOfLists } from '../bench/trace/builder.ts'
import { loadTrace } from '../bench/trace/load.ts'
import type { Trace, TraceTree } from '../bench/trace/trace.ts'

const checkout = resolve(import.meta.dirname, '..')

/** Folder of the shared public traces: `TERRACE_TRACES`, or `shared/traces` beside the checkout. */
export function tracesFolder(): string | null {
  const told = process.env.TERRACE_TRACES
  if (told !== undefined) return told
  const beside = [join(checkout, '../shared/traces'), join(checkout, '../../shared/traces')]
  return beside.find((path) => existsSync(path)) ?? null
}

/** Path of a shared trace, or null with the reason to skip: tests that need one skip without it. */
export function sharedTrace(name: string): { readonly path: string | null; readonly skip: string | false } {
  const folder = tracesFolder()
  const path = folder === null ? null : join(folder, `${name}.jsonl.gz`)
  if (path !== null && existsSync(path)) return { path, skip: false }
  return { path: null, skip: `no ${name}.jsonl.gz: set TERRACE_TRACES to the folder of the shared traces` }
}

export type CapturedIo = BenchIo & { readonly outText: () => string; readonly noteText: () => string }

/** A bench io that keeps what is written. */
export function capturedIo(): CapturedIo {
  const out: string[] = []
  const notes: string[] = []
  return {
    out: (text) => void out.push(text),
    drained: async () => undefined,
    note: (text) => void notes.push(text),
    stdin: new PassThrough().end(),
    outIsTerminal: false,
    noteIsTerminal: false,
    columns: 100,
    stop: new AbortController().signal,
    nowMs: () => 0,
    env: {},
    outText: () => out.join(''),
    noteText: () => notes.join(''),
  }
}

export async function loadSharedTrace(path: string): Promise<Trace> {
  return await loadTrace(path, { format: null, blockTokens: null, skipBad: false }, capturedIo())
}

/** A trace from lists of hash ids, one per request, a second apart. An id names a block together with its prefix. */
export function traceOf(requests: readonly (readonly number[])[], secondsApart = 1): Trace {
  const nodes = new Map<string, number>()
  const parents: number[] = []
  const refs: number[] = []
  const starts = [0]
  for (const ids of requests) {
    let parent = -1
    for (const id of ids) {
      const key = `${parent}/${id}`
      let node = nodes.get(key)
      if (node === undefined) {
        node = parents.length
        nodes.set(key, node)
        parents.push(parent)
      }
      refs.push(node)
      parent = node
    }
    starts.push(refs.length)
  }
  return {
    name: 'made',
    blockTokens: 16,
    requestCount: requests.length,
    nodeCount: parents.length,
    referenceCount: refs.length,
    starts: Int32Array.from(starts),
    refs: Int32Array.from(refs),
    parents: Int32Array.from(parents),
    arrivalMs: Float64Array.from(requests, (_, request) => request * secondsApart * 1_000),
    inputTokens: Int32Array.from(requests, (ids) => ids.length * 16),
    outputTokens: new Int32Array(requests.length),
    session: null,
    tenant: null,
    tenantNames: [],
    delayMs: null,
  }
}

/** Two applications with prompts alike, a second apart; only those of the one that answers at length come back, once. */
export function twoApplications(promptCount: number): TraceTree {
  const requests: number[][] = []
  const answers: number[] = []
  const ask = (prompt: number, answerTokens: number): void => {
    requests.push([0, 10_000 + prompt, 30_000 + prompt])
    answers.push(answerTokens)
  }
  for (let prompt = 0; prompt < promptCount; prompt += 1) {
    const talks = prompt % 3 === 0
    ask(prompt, talks ? 300 : 3)
    if (talks && prompt > 900) ask(prompt - 750, 300)
  }
  return { ...traceOfLists('made', requests), outputTokens: Int32Array.from(answers) }
}
