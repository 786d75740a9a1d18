import type { Parts } from './parts.ts'

/** Sets the gauges to what is so now; called when somebody reads them. */
export function gauges(parts: Parts): void {
  const { meter, workers } = parts
  for (const worker of workers.all()) {
    const labels = { worker: worker.name }
    meter.set('terrace_router_worker_serving', labels, worker.serving ? 1 : 0)
    meter.set('terrace_router_worker_waiting_tokens', labels, worker.load.waitingTokens)
    meter.set('terrace_router_worker_streams', labels, worker.load.streams)
    meter.set('terrace_router_worker_prefill_tokens_per_second', labels, worker.rate.tokensPerSecond)
  }
  const index = parts.overlaps.counts()
  meter.set('terrace_router_index_blocks', {}, index.blocks)
  meter.set('terrace_router_index_bytes', {}, index.bytes)
  meter.set('terrace_router_index_evicted_total', {}, index.evicted)
  meter.set('terrace_router_held_bytes', {}, parts.held.byteCount)
}
