import type { Meter, MetricTable } from './block/metric.ts'

/** What the tiers count. Denominators are metrics of their own: looked up, wanted and moved. */
export const storeMetrics = {
  terrace_tier_lookups_total: { kind: 'counter', labels: [], about: 'Chains looked up.' },
  terrace_tier_lookup_blocks_total: { kind: 'counter', labels: [], about: 'Blocks of the chains looked up.' },
  terrace_tier_known_blocks_total: {
    kind: 'counter',
    labels: [],
    about: 'Blocks of those chains that were known from their start without a gap.',
  },
  terrace_load_requests_total: { kind: 'counter', labels: ['stop'], about: 'Loads by why they ended.' },
  terrace_load_wanted_blocks_total: { kind: 'counter', labels: [], about: 'Blocks asked for by loads.' },
  terrace_load_hit_blocks_total: {
    kind: 'counter',
    labels: ['tier'],
    about: 'Blocks given to engines, by the tier they came from.',
  },
  terrace_load_seconds: {
    kind: 'histogram',
    labels: [],
    about: 'Time of a load that gave at least one block.',
  },
  terrace_store_wanted_blocks_total: { kind: 'counter', labels: [], about: 'Blocks offered by engines.' },
  terrace_store_stored_blocks_total: {
    kind: 'counter',
    labels: [],
    about: 'Offered blocks that were taken.',
  },
  terrace_store_already_blocks_total: {
    kind: 'counter',
    labels: [],
    about: 'Offered blocks that were held already.',
  },
  terrace_store_dropped_blocks_total: {
    kind: 'counter',
    labels: ['why'],
    about: 'Offered blocks that were not taken, by reason.',
  },
  terrace_tier_evicted_blocks_total: {
    kind: 'counter',
    labels: ['tier'],
    about: 'Blocks that left for others.',
  },
  terrace_tier_damaged_blocks_total: {
    kind: 'counter',
    labels: ['tier', 'why'],
    about: 'Copies found damaged and dropped: each was a miss, none was served.',
  },
  terrace_tier_demoted_blocks_total: {
    kind: 'counter',
    labels: ['tier'],
    about: 'Blocks written to a tier below.',
  },
  terrace_tier_climbed_blocks_total: {
    kind: 'counter',
    labels: ['tier'],
    about: 'Blocks read up from a tier.',
  },
  terrace_tier_dropped_blocks_total: {
    kind: 'counter',
    labels: ['tier', 'why'],
    about: 'Blocks that did not get into a tier, by reason.',
  },
  terrace_tier_offered_blocks_total: {
    kind: 'counter',
    labels: ['tier'],
    about: 'Blocks that an admission rule was asked about; a refused one may be offered again.',
  },
  terrace_tier_refused_blocks_total: {
    kind: 'counter',
    labels: ['tier', 'why'],
    about: 'Of those, blocks that were not admitted, by reason.',
  },
  terrace_tier_dry_spells_total: {
    kind: 'counter',
    labels: ['tier'],
    about: 'Times an admission rule refused everything for ten minutes.',
  },
  terrace_tier_write_budget_used_ratio: {
    kind: 'gauge',
    labels: ['tier'],
    about: 'Share of the daily write budget in use; 1 stops writing.',
  },
  terrace_tier_writeback_waiting_blocks: {
    kind: 'gauge',
    labels: ['tier'],
    about: 'Blocks that wait to be written to a tier.',
  },
  terrace_tier_resident_blocks: { kind: 'gauge', labels: ['tier'], about: 'Blocks in a tier.' },
  terrace_tier_used_bytes: { kind: 'gauge', labels: ['tier'], about: 'Bytes of slots in use in a tier.' },
  terrace_tier_capacity_bytes: { kind: 'gauge', labels: ['tier'], about: 'Bytes a tier may use.' },
  terrace_tier_pinned_bytes: {
    kind: 'gauge',
    labels: [],
    about: 'Host memory that is page-locked for GPUs: from the first engine on that hands in GPU memory.',
  },
  terrace_tier_moved_bytes_total: {
    kind: 'counter',
    labels: ['step'],
    about: 'Payload bytes moved, by kind of step.',
  },
  terrace_tier_steps_failed_total: { kind: 'counter', labels: ['step', 'why'], about: 'Steps that failed.' },
  terrace_tier_steps_overdue_total: {
    kind: 'counter',
    labels: ['step'],
    about: 'Steps given up by the watchdog; their slots wait until they end.',
  },
  terrace_tier_completions_ignored_total: {
    kind: 'counter',
    labels: [],
    about: 'Completions for a ticket or generation that is over.',
  },
  terrace_tier_leases_expired_total: {
    kind: 'counter',
    labels: [],
    about: 'Leases that outlived their deadline.',
  },
  terrace_tier_rests_total: {
    kind: 'counter',
    labels: ['tier'],
    about: 'Times a failing tier was left out for a while.',
  },
  terrace_tier_recovered_blocks_total: {
    kind: 'counter',
    labels: ['from'],
    about: 'Blocks found again at start, by catalog or by the seals in the slab.',
  },
  terrace_tier_recovery_refused_total: {
    kind: 'counter',
    labels: ['why'],
    about: 'Slots that recovery left free, by reason.',
  },
  terrace_tier_catalog_on: {
    kind: 'gauge',
    labels: [],
    about: '1 while the catalog is used, 0 once it was switched off.',
  },
  terrace_tier_catalog_failed_total: {
    kind: 'counter',
    labels: ['why'],
    about:
      'Times the catalog was switched off, by what failed: the next start reads the seals in the slab instead.',
  },
  terrace_tier_scrubbed_blocks_total: {
    kind: 'counter',
    labels: [],
    about: 'Blocks verified in the background.',
  },
} as const satisfies MetricTable

/** What the tiers need of a meter: one of a table that contains theirs. */
export type StoreMeter = Pick<Meter<typeof storeMetrics>, 'add' | 'set' | 'observe'>
