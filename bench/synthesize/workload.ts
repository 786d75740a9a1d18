import type { Chance } from '../chance.ts'
import { type IdSource, Prompt } from './prompt.ts'

/** One request as a generator makes it. */
export type MadeRequest = {
  readonly atMs: number
  readonly session: string
  readonly inputTokens: number
  readonly outputTokens: number
  readonly delayMs: number
  readonly blocks: readonly number[]
}

export type Maker = {
  readonly chance: Chance
  readonly source: IdSource
  readonly blockTokens: number
  /** Longest prompt; a session that reaches it compacts or ends. */
  readonly inputTokensMax: number
}

/** A kind of traffic: makes the requests of one session that starts at `atMs`. */
export type Workload = {
  readonly name: string
  readonly about: string
  /** Requests of a session, about: turns a request rate into a session rate. */
  readonly requestsPerSession: number
  readonly session: (maker: Maker, atMs: number, name: string) => Generator<MadeRequest>
}

function whole(tokens: number, max = 200_000): number {
  return Math.max(1, Math.min(max, Math.round(tokens)))
}

function made(
  prompt: Prompt,
  atMs: number,
  session: string,
  outputTokens: number,
  delayMs: number,
): MadeRequest {
  return { atMs, session, inputTokens: prompt.tokens, outputTokens, delayMs, blocks: prompt.blocks() }
}

/** Seconds an engine takes to answer, roughly: it keeps the turns of one session apart. */
function answerMs(outputTokens: number): number {
  return 400 + outputTokens * 20
}

/** People talking: few turns, minutes of thinking, sometimes a long text pasted at the start. */
const chat: Workload = {
  name: 'chat',
  about: 'multi-turn chat: a common system prompt, few turns, a median of two minutes between them',
  requestsPerSession: 3.2,
  *session(maker, atMs, name) {
    const { chance } = maker
    const prompt = new Prompt(maker.source, maker.blockTokens)
    prompt.startShared('chat system', 1_100)
    if (chance.says(0.3)) prompt.append(whole(chance.logNormal(7_000, 1)))
    let now = atMs
    let delayMs = 0
    for (;;) {
      prompt.append(whole(chance.logNormal(140, 1.2)))
      if (prompt.tokens > maker.inputTokensMax) return
      const outputTokens = whole(chance.logNormal(260, 0.8), 4_000)
      yield made(prompt, now, name, outputTokens, delayMs)
      prompt.append(outputTokens)
      if (chance.says(0.32)) return
      delayMs = Math.round(chance.logNormal(115_000, 1.1))
      now += answerMs(outputTokens) + delayMs
    }
  },
}

/** Coding agents: many turns seconds apart, long growing prompts, sub-agents, compaction, a human now and then. */
const agent: Workload = {
  name: 'agent',
  about: 'agent loops: shared tool definitions, dozens of turns seconds apart, sub-agents, compaction',
  requestsPerSession: 45,
  *session(maker, atMs, name) {
    const { chance } = maker
    const version = chance.zipf(3, 1)
    let prompt = new Prompt(maker.source, maker.blockTokens)
    prompt.startShared(`agent tools ${version}`, 12_300 + version * 170)
    prompt.append(whole(chance.logNormal(3_000, 0.7)))
    const turns = whole(chance.logNormal(28, 0.9), 400)
    let now = atMs
    let delayMs = 0
    for (let turn = 0; turn < turns; turn += 1) {
      const outputTokens = whole(chance.logNormal(220, 1), 8_000)
      yield made(prompt, now, name, outputTokens, delayMs)
      const answered = now + answerMs(outputTokens)
      if (chance.says(0.03)) yield* subAgent(maker, answered, `${name}/${turn}`)
      prompt.append(outputTokens + whole(chance.logNormal(700, 1.3), 30_000))
      if (prompt.tokens > Math.min(160_000, maker.inputTokensMax)) {
        prompt = new Prompt(maker.source, maker.blockTokens)
        prompt.startShared(`agent tools ${version}`, 12_300 + version * 170)
        prompt.append(4_000)
      }
      const human = chance.says(0.06)
      delayMs = Math.round(human ? chance.logNormal(110_000, 1.2) : chance.logNormal(2_500, 1))
      now = answered + delayMs
    }
  },
}

function* subAgent(maker: Maker, atMs: number, name: string): Generator<MadeRequest> {
  const { chance } = maker
  const prompt = new Prompt(maker.source, maker.blockTokens)
  prompt.startShared('sub-agent tools', 7_700)
  prompt.append(whole(chance.logNormal(900, 0.6)))
  let now = atMs
  const turns = whole(chance.logNormal(8, 0.5), 40)
  for (let turn = 0; turn < turns; turn += 1) {
    const outputTokens = whole(chance.logNormal(160, 0.7), 4_000)
    yield made(prompt, now, name, outputTokens, 0)
    prompt.append(outputTokens + whole(chance.logNormal(900, 1), 20_000))
    now += answerMs(outputTokens) + Math.round(chance.logNormal(900, 0.6))
  }
}

/** Questions about documents from one collection: few documents are asked about often. */
const documents: Workload = {
  name: 'documents',
  about: 'questions about a collection of documents of skewed popularity, one or two turns each',
  requestsPerSession: 1.4,
  *session(maker, atMs, name) {
    const { chance } = maker
    const document = chance.zipf(400, 0.9)
    const prompt = new Prompt(maker.source, maker.blockTokens)
    // The length belongs to the document, so it is worked out from its number.
    prompt.startShared(`document ${document}`, 4_000 + ((document * 7_919) % 50_000))
    let now = atMs
    let delayMs = 0
    for (;;) {
      prompt.append(whole(chance.logNormal(60, 0.8)))
      const outputTokens = whole(chance.logNormal(300, 0.7), 4_000)
      yield made(prompt, now, name, outputTokens, delayMs)
      if (chance.says(0.7) || prompt.tokens > maker.inputTokensMax) return
      prompt.append(outputTokens)
      delayMs = Math.round(chance.logNormal(60_000, 1))
      now += answerMs(outputTokens) + delayMs
    }
  },
}

/** A batch job: long texts that nobody asks about again, behind one common instruction. */
const scan: Workload = {
  name: 'scan',
  about: 'a batch job: one-shot documents behind a common instruction, never used again',
  requestsPerSession: 1,
  *session(maker, atMs, name) {
    const { chance } = maker
    const prompt = new Prompt(maker.source, maker.blockTokens)
    prompt.startShared('scan instruction', 520)
    prompt.append(chance.whole(10_000, 30_000))
    yield made(prompt, atMs, name, whole(chance.logNormal(150, 0.4)), 0)
  },
}

export const workloads: readonly Workload[] = [chat, agent, documents, scan]
