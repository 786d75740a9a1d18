import type { Sources } from '../cache/plan.ts'
import type { Serving } from './request.ts'

/** Longest wait for the daemon to take a report, in milliseconds. Nobody waits for it. */
const reportMsMax = 1_000

/** Tells the daemon what a request really got, and what the engine's slots hold now. Neither is waited for. */
export function reportRequest(
  serving: Serving,
  promptTokens: number,
  sources: Sources,
  firstTokenMs: number,
): void {
  void send(serving, promptTokens, sources, firstTokenMs)
}

async function send(
  serving: Serving,
  promptTokens: number,
  sources: Sources,
  firstTokenMs: number,
): Promise<void> {
  const { attachment, session, tenant, news } = serving
  const { kv } = attachment
  if (kv.as === 'off' || session === null || session.link.state().as !== 'ready') return
  const namespace = await session.namespaceNumber(kv.namespaceFor(tenant))
  if (namespace === null) return
  const tokensByTier = { hbm: sources.resident, ...sources.byTier }
  const computedTokens = promptTokens - sources.resident - sources.loaded
  const prefillMsPerBlock = kv.speed.msPerBlock()
  const fields = { namespace, promptTokens, computedTokens, tokensByTier, firstTokenMs, prefillMsPerBlock }
  await session.ask('report', fields, reportMsMax)
  await news?.tell(attachment.slots.slots)
}
