import type { Meter, MetricTable } from '../block/metric.ts'

/** What the S3 tier counts. A process that opens the tier takes these rows into its own table. */
export const s3Metrics = {
  terrace_s3_requests_total: {
    kind: 'counter',
    labels: ['call', 'outcome'],
    about: 'Requests to the object store by call and outcome; retries count again.',
  },
  terrace_s3_request_seconds: {
    kind: 'histogram',
    labels: ['call'],
    about: 'Time of one request, from its start to its last byte.',
  },
  terrace_s3_read_bytes_total: {
    kind: 'counter',
    labels: [],
    about: 'Bytes received in answers to reads of blocks, gaps included.',
  },
  terrace_s3_written_bytes_total: { kind: 'counter', labels: [], about: 'Bytes of packs stored.' },
  terrace_s3_blocks_read_total: {
    kind: 'counter',
    labels: ['result'],
    about: 'Blocks asked of the tier, by result.',
  },
  terrace_s3_blocks_written_total: {
    kind: 'counter',
    labels: ['result'],
    about: 'Blocks given to the tier, by result.',
  },
  terrace_s3_damaged_total: {
    kind: 'counter',
    labels: ['why'],
    about: 'Blocks or indexes that failed a check, by the first check that failed.',
  },
  terrace_s3_forgotten_blocks_total: {
    kind: 'counter',
    labels: ['why'],
    about: 'Blocks that left the tier, by reason.',
  },
  terrace_s3_rests_total: { kind: 'counter', labels: [], about: 'Times the tier went to rest after errors.' },
} as const satisfies MetricTable

export type S3Meter = Pick<Meter<typeof s3Metrics>, 'add' | 'observe'>
