import type { Member } from './members.ts'

/** Body fields that choose a worker, a host, a slot, a transfer or somebody else's request: always dropped,
 *  whoever sends them. Names of vLLM, SGLang, TensorRT-LLM, llama.cpp and of routers in front of them. */
export const steeringFields: ReadonlySet<string> = new Set([
  'bootstrap_host',
  'bootstrap_port',
  'bootstrap_room',
  'cache_prompt',
  'data_parallel_rank',
  'disagg_prefill_dp_rank',
  'disaggregated_params',
  'dp_rank',
  'id_slot',
  'kv_transfer_params',
  'kv_hints',
  'n_cache_reuse',
  'nvext',
  'rid',
  'routed_dp_rank',
  'session_params',
  'slot_id',
  'target_dp_rank',
  'vllm_xargs',
])

/** Hints: dropped unless the API key allows them. They change order and speed, never what is answered. */
export const hintFields: ReadonlySet<string> = new Set(['agent_hints', 'priority', 'strict_priority'])

/** Fields the router itself reads. Like the dropped ones they may stand in a body only once: two parsers may
 *  disagree about which of two counts. */
const readFields: ReadonlySet<string> = new Set(['model', 'stream', 'prompt_cache_key'])

/** The first controlled field that stands in the body twice, or null. */
export function repeatedField(members: readonly Member[]): string | null {
  const seen = new Set<string>()
  for (const { name } of members) {
    if (!readFields.has(name) && !steeringFields.has(name) && !hintFields.has(name)) continue
    if (seen.has(name)) return name
    seen.add(name)
  }
  return null
}

/** The body without steering fields: the same bytes when there are none, else the kept members as they came.
 *  */
export function withoutSteering(
  body: Buffer,
  members: readonly Member[],
  hintsAllowed: boolean,
): { readonly body: Buffer; readonly dropped: readonly string[] } {
  const dropped: string[] = []
  const parts: Buffer[] = []
  for (const { name, start, end } of members) {
    if (steeringFields.has(name) || (!hintsAllowed && hintFields.has(name))) dropped.push(name)
    else parts.push(commaByte, body.subarray(start, end))
  }
  if (dropped.length === 0) return { body, dropped }
  // The comma before the first kept member becomes the opening brace.
  parts[0] = openByte
  parts.push(closeByte)
  return { body: Buffer.concat(parts), dropped }
}

const openByte = Buffer.from('{')
const closeByte = Buffer.from('}')
const commaByte = Buffer.from(',')

/** Headers of one hop, of the client's own connection, or that steer; none reaches a worker. */
const droppedHeaders: ReadonlySet<string> = new Set([
  'accept-encoding',
  'connection',
  'content-length',
  'cookie',
  'expect',
  'forwarded',
  'host',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'x-data-parallel-host-port',
  'x-data-parallel-rank',
  'x-dp-rank',
  'x-encoder-hosts-ports',
  'x-kv-cache-source-host-port',
  'x-prefill-dp-rank',
  'x-prefill-instance-id',
  'x-prefiller-host-port',
  'x-real-ip',
  'x-request-id',
  'x-tenant-id',
  'x-worker-instance-id',
])
const droppedHeaderStarts = ['x-terrace-', 'x-dynamo-', 'x-forwarded-', 'openengine-', 'proxy-', 'x-envoy-']
/** Carry the client's key: kept only where the router has no keys of its own. */
const keyHeaders: ReadonlySet<string> = new Set(['authorization', 'x-api-key'])

/** The client's headers that a worker may see, as a flat list of names and values. */
export function forwardedHeaders(rawHeaders: readonly string[], keysAreOurs: boolean): string[] {
  const perHop = connectionHeaders(rawHeaders)
  const kept: string[] = []
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? ''
    const lower = name.toLowerCase()
    if (droppedHeaders.has(lower) || perHop.has(lower)) continue
    if (keysAreOurs && keyHeaders.has(lower)) continue
    if (droppedHeaderStarts.some((start) => lower.startsWith(start))) continue
    kept.push(lower, rawHeaders[i + 1] ?? '')
  }
  return kept
}

/** Header names that `Connection` declares to be of this hop only. */
function connectionHeaders(rawHeaders: readonly string[]): Set<string> {
  const names = new Set<string>()
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.toLowerCase() !== 'connection') continue
    for (const name of (rawHeaders[i + 1] ?? '').split(',')) names.add(name.trim().toLowerCase())
  }
  return names
}

const droppedAnswerHeaders: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'set-cookie',
  'x-request-id',
  'x-terrace-worker',
  'x-terrace-explain',
])

/** A worker's headers that the client may see. Cross-origin permission is not the worker's to give. */
export function answeredHeaders(
  headers: Readonly<Record<string, string | string[] | undefined>>,
): Record<string, string | string[]> {
  const kept: Record<string, string | string[]> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || droppedAnswerHeaders.has(name) || name.startsWith('access-control-')) continue
    kept[name] = value
  }
  return kept
}
