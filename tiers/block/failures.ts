/** One row per failure that a caller or an operator may meet. `retry` is read by the caller, `fault` by the person on
 *  call; `says` is the sentence, with the values of the case in braces. Expected outcomes (miss, busy, damaged) are values
 *  elsewhere, never these. */
export const failures = {
  KVT_WIRE_MALFORMED: { retry: false, fault: 'engine', says: 'the frame is malformed: {why}' },
  KVT_WIRE_VERSION: {
    retry: false,
    fault: 'engine',
    says: 'the daemon speaks wire version {ours}, the engine {theirs}: use adapter and daemon of one release',
  },
  KVT_WIRE_ORDER: { retry: false, fault: 'engine', says: 'message {message} came before hello' },
  KVT_PEER_REFUSED: {
    retry: false,
    fault: 'engine',
    says: 'peer of user {uid} refused: only user {ours} may connect',
  },
  KVT_TOO_MANY: { retry: true, fault: 'capacity', says: 'too many {what}: the limit is {limit}' },
  KVT_NAMESPACE_BAD: { retry: false, fault: 'engine', says: 'the namespace cannot be used: {why}' },
  KVT_NAMESPACE_UNKNOWN: {
    retry: false,
    fault: 'engine',
    says: 'namespace {namespace} is not open in this session',
  },
  KVT_REGION_BAD: { retry: false, fault: 'engine', says: 'the region cannot be used: {why}' },
  KVT_REGION_UNKNOWN: {
    retry: false,
    fault: 'engine',
    says: 'region {region} is not attached in this session',
  },
  KVT_PLACE_BAD: { retry: false, fault: 'engine', says: 'the place cannot be used: {why}' },
  KVT_INTERNAL: {
    retry: false,
    fault: 'daemon',
    says: 'the daemon failed while it answered {message}: its log says more',
  },
  KVT_STOPPING: { retry: true, fault: 'none', says: 'the daemon is stopping' },
  KVT_DATA_IN_USE: {
    retry: false,
    fault: 'operator',
    says: 'data directory {directory} is in use by process {pid}: stop it, or give this one another --data',
  },
  KVT_DATA_UNWRITABLE: {
    retry: false,
    fault: 'operator',
    says: 'data directory {directory} cannot be written ({why}): give a writable one with --data',
  },
  KVT_DATA_VERSION: {
    retry: false,
    fault: 'operator',
    says: '{file} is of format {found}, this release reads {ours}: use the release that wrote it, or another --data',
  },
  KVT_DISK_FULL: {
    retry: false,
    fault: 'capacity',
    says: '{directory} has {freeBytes} bytes free, {wantedBytes} wanted: free some, or give a smaller --nvme-bytes',
  },
  KVT_MEMORY_SHORT: {
    retry: false,
    fault: 'capacity',
    says: '{wantedBytes} bytes of memory could not be had ({why}): give a smaller --host-bytes',
  },
  KVT_CONFIG_BAD: { retry: false, fault: 'operator', says: 'config: {why}' },
  KVT_SECRET_BAD: {
    retry: false,
    fault: 'operator',
    says: 'secret file {file} cannot be used: {why}',
  },
  KVT_SOCKET_BAD: {
    retry: false,
    fault: 'operator',
    says: 'socket {path} cannot be opened ({why}): give another with --socket',
  },
  KVT_PORT_IN_USE: {
    retry: false,
    fault: 'operator',
    says: 'port {port} is in use: stop what holds it, or give another with {option}',
  },
  KVT_ADDON_MISSING: {
    retry: false,
    fault: 'operator',
    says: 'the native addon cannot be loaded ({why}): run "sh .ci/setup", which builds it',
  },
  KVT_S3_REFUSED: { retry: false, fault: 'operator', says: 's3 {endpoint} refused {call}: {why}' },
  KVT_TIER_SLOW: { retry: true, fault: 'storage', says: 'tier {tier} gave no bytes for {idleMs} ms' },
} as const satisfies Record<string, { retry: boolean; fault: FaultOwner; says: string }>

type FaultOwner = 'daemon' | 'engine' | 'capacity' | 'storage' | 'operator' | 'none'
export type FailureCode = keyof typeof failures

/** Thrown only when the caller cannot go on. Its message is the table's sentence with the case's values. */
export class KvFailure extends Error {
  override readonly name = 'KvFailure'
  readonly code: FailureCode

  constructor(code: FailureCode, values: Readonly<Record<string, string | number>>) {
    super(sentenceOf(code, values))
    this.code = code
  }
}

/** The table's sentence with the values of the case. */
export function sentenceOf(code: FailureCode, values: Readonly<Record<string, string | number>>): string {
  return failures[code].says.replace(/\{(\w+)\}/g, (_, name: string) =>
    Object.hasOwn(values, name) ? String(values[name]) : `{${name}}`,
  )
}
