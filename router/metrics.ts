import type { MetricTable } from '../tiers/block/metric.ts'

/** Every metric of the router. No label holds anything that a client wrote, but the name of a served model.
 *  */
export const routerMetrics = {
  terrace_router_requests_total: {
    kind: 'counter',
    labels: ['endpoint', 'status'],
    about: 'Requests by endpoint and HTTP status; 499 is a client that went away.',
  },
  terrace_router_requests_active: { kind: 'gauge', labels: [], about: 'Requests under way.' },
  terrace_router_first_byte_seconds: {
    kind: 'histogram',
    labels: ['endpoint'],
    about: 'From the whole request to the first byte of a streamed answer.',
  },
  terrace_router_request_seconds: {
    kind: 'histogram',
    labels: ['endpoint'],
    about: 'From the whole request to the end of its answer.',
  },
  terrace_router_naming_seconds: {
    kind: 'histogram',
    labels: [],
    about: 'Time to get the routing names of a prompt from an adapter.',
  },
  terrace_router_naming_total: {
    kind: 'counter',
    labels: ['result'],
    about: 'Prompts by where their routing names came from, or why there are none.',
  },
  terrace_router_prompt_tokens_total: {
    kind: 'counter',
    labels: ['tenant'],
    about: 'Prompt tokens of answered requests, as workers counted them: the denominator of realised hits.',
  },
  terrace_router_realised_hit_tokens_total: {
    kind: 'counter',
    labels: ['tenant'],
    about: 'Prompt tokens that workers said they did not have to compute.',
  },
  terrace_router_named_tokens_total: {
    kind: 'counter',
    labels: ['tenant'],
    about: 'Prompt tokens of requests with routing names: the denominator of predicted hits.',
  },
  terrace_router_predicted_hit_tokens_total: {
    kind: 'counter',
    labels: ['tenant', 'tier'],
    about: 'Prompt tokens that the chosen worker was expected to take from each tier.',
  },
  terrace_router_possible_hit_tokens_total: {
    kind: 'counter',
    labels: ['tenant'],
    about: 'Prompt tokens that the best-placed worker could have had without computing.',
  },
  terrace_router_score_seconds: {
    kind: 'histogram',
    labels: ['term'],
    about: 'Terms of the chosen worker: queue, load, prefill, decode.',
  },
  terrace_router_tries_failed_total: {
    kind: 'counter',
    labels: ['why'],
    about:
      'Tries on a worker that failed before the first byte: refused, closed, busy. Another is tried if there is one.',
  },
  terrace_router_cut_total: {
    kind: 'counter',
    labels: ['why'],
    about: 'Answers that did not come to their end, by why.',
  },
  terrace_router_refused_total: {
    kind: 'counter',
    labels: ['code'],
    about: 'Requests refused by the router itself, by error code.',
  },
  terrace_router_steering_dropped_total: {
    kind: 'counter',
    labels: ['field'],
    about: 'Body fields taken out because a client must not steer by them.',
  },
  terrace_router_worker_serving: {
    kind: 'gauge',
    labels: ['worker'],
    about: '1 while the worker takes requests.',
  },
  terrace_router_worker_waiting_tokens: {
    kind: 'gauge',
    labels: ['worker'],
    about: 'Prompt tokens sent to the worker and not yet computed.',
  },
  terrace_router_worker_streams: { kind: 'gauge', labels: ['worker'], about: 'Requests under way at it.' },
  terrace_router_worker_prefill_tokens_per_second: {
    kind: 'gauge',
    labels: ['worker'],
    about: 'Prefill rate learned from first-token times.',
  },
  terrace_router_worker_changes_total: {
    kind: 'counter',
    labels: ['worker', 'to'],
    about: 'Changes of a worker between serving and out.',
  },
  terrace_router_held_bytes: { kind: 'gauge', labels: [], about: 'Bytes of request bodies in memory.' },
  terrace_router_index_blocks: { kind: 'gauge', labels: [], about: 'Prefix blocks in the index.' },
  terrace_router_index_bytes: { kind: 'gauge', labels: [], about: 'Memory of the index.' },
  terrace_router_index_evicted_total: {
    kind: 'counter',
    labels: [],
    about: 'Blocks that the index forgot to stay within its bytes.',
  },
  terrace_router_events_total: {
    kind: 'counter',
    labels: ['daemon', 'result'],
    about: 'Event batches by what became of them: applied, old, or the reason why not.',
  },
  terrace_router_event_gaps_total: {
    kind: 'counter',
    labels: ['daemon'],
    about: 'Times that events were missing; a snapshot heals each.',
  },
  terrace_router_snapshots_total: {
    kind: 'counter',
    labels: ['daemon', 'result'],
    about: 'Snapshots taken.',
  },
  terrace_router_daemon_connected: {
    kind: 'gauge',
    labels: ['daemon'],
    about: '1 while the daemon’s events arrive.',
  },
} as const satisfies MetricTable
