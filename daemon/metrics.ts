import { Meter, type MetricTable } from '../tiers/block/metric.ts'

/** What the daemon counts besides the tiers (tiers/metrics.ts). Every rate has its denominator here: realised hits are
 *  `terrace_realised_tokens_total` over `terrace_prompt_tokens_total`. */
export const daemonMetrics = {
  terrace_daemon_up_seconds: { kind: 'gauge', labels: [], about: 'Time since the daemon became ready.' },
  terrace_sessions: { kind: 'gauge', labels: [], about: 'Attached engines.' },
  terrace_sessions_opened_total: { kind: 'counter', labels: [], about: 'Engines that said hello.' },
  terrace_sessions_ended_total: {
    kind: 'counter',
    labels: ['why'],
    about: 'Sessions that ended: closed, silent, slow_reader, malformed, failed, stopping.',
  },
  terrace_peers_refused_total: {
    kind: 'counter',
    labels: ['why'],
    about: 'Connections that never became a session: user, version, order, malformed, too_many, silent.',
  },
  terrace_asks_total: { kind: 'counter', labels: ['message'], about: 'Asks of engines, by message.' },
  terrace_asks_failed_total: {
    kind: 'counter',
    labels: ['message', 'code'],
    about: 'Asks that were answered with a failure, by its code.',
  },
  terrace_ask_seconds: { kind: 'histogram', labels: ['message'], about: 'Time from ask to answer.' },
  terrace_frames_malformed_total: { kind: 'counter', labels: [], about: 'Frames refused by the decoder.' },
  terrace_tenant_load_wanted_blocks_total: {
    kind: 'counter',
    labels: ['tenant'],
    about: 'Blocks that engines asked to load: the denominator of the possible and the loaded ones.',
  },
  terrace_possible_blocks_total: {
    kind: 'counter',
    labels: ['tenant'],
    about: 'Of those, blocks that the tiers held as a prefix, whatever was then loaded.',
  },
  terrace_tenant_loaded_blocks_total: {
    kind: 'counter',
    labels: ['tenant', 'tier'],
    about: 'Of those, blocks that reached the engine, by the tier they came from.',
  },
  terrace_tenant_loads_total: {
    kind: 'counter',
    labels: ['tenant', 'stop'],
    about: 'Loads, by why they gave no more blocks than they did.',
  },
  terrace_tenant_lookup_blocks_total: {
    kind: 'counter',
    labels: ['tenant'],
    about: 'Blocks that engines asked about without loading: the denominator of the predicted ones.',
  },
  terrace_predicted_blocks_total: {
    kind: 'counter',
    labels: ['tenant', 'tier'],
    about: 'Of those, blocks that were ready, by tier.',
  },
  terrace_tenant_store_wanted_blocks_total: {
    kind: 'counter',
    labels: ['tenant'],
    about: 'Blocks that engines offered to store.',
  },
  terrace_tenant_store_dropped_blocks_total: {
    kind: 'counter',
    labels: ['tenant', 'why'],
    about: 'Of those, blocks that were not kept, by reason.',
  },
  terrace_reports_total: {
    kind: 'counter',
    labels: ['tenant'],
    about: 'Requests whose outcome an engine reported.',
  },
  terrace_prompt_tokens_total: {
    kind: 'counter',
    labels: ['tenant'],
    about: 'Prompt tokens of reported requests: the denominator of the realised ones.',
  },
  terrace_computed_tokens_total: {
    kind: 'counter',
    labels: ['tenant'],
    about: 'Of those, tokens that the engine had to compute.',
  },
  terrace_realised_tokens_total: {
    kind: 'counter',
    labels: ['tenant', 'tier'],
    about: 'Of those, tokens that need not be computed, by the tier they came from.',
  },
  terrace_realised_blocks_total: {
    kind: 'counter',
    labels: ['tenant', 'tier'],
    about: 'The same in whole blocks of the reporting namespace.',
  },
  terrace_reported_first_token_seconds: {
    kind: 'histogram',
    labels: [],
    about: 'Time to the first token as engines reported it.',
  },
  terrace_events_published_total: {
    kind: 'counter',
    labels: ['kind'],
    about: 'Events given to readers: stored, removed, cleared.',
  },
  terrace_event_batches_total: { kind: 'counter', labels: [], about: 'Batches those events were sent in.' },
  terrace_event_readers: { kind: 'gauge', labels: [], about: 'Open event streams.' },
  terrace_event_readers_cut_total: {
    kind: 'counter',
    labels: [],
    about: 'Event streams that were cut because the reader was too slow.',
  },
  terrace_snapshots_total: {
    kind: 'counter',
    labels: ['why'],
    about: 'Snapshots given: asked, gap (the reader was too far behind or of another epoch).',
  },
  terrace_nats_dropped_batches_total: {
    kind: 'counter',
    labels: [],
    about:
      'Batches that could not be published while NATS was away; readers see a gap and ask for a snapshot.',
  },
  terrace_nats_connected: { kind: 'gauge', labels: [], about: '1 while the NATS server is reached.' },
} as const satisfies MetricTable

export type DaemonMeter = Meter<typeof daemonMetrics>

export function daemonMeter(): DaemonMeter {
  return new Meter(daemonMetrics)
}
