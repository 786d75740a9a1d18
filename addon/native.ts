/** The whole native boundary. Nothing else may call the binary. Handles are small numbers, never pointers; a missing value is a
 *  number that says so, never `undefined`; bulk goes down as one typed array and comes up through one ring. */

/** Changes whenever any signature, step or completion below does; the loader compares it. */
export const abiVersion = 2

/** What a step does. Offsets and counts are bytes; `block` is an index for the step's place. */
export const operations = {
  /** Engine pieces, in host memory or on a GPU -> slot: gathers one block by its place and sums it while copying. */
  gather: 1,
  /** Slot -> engine pieces: sums the slot while copying and fails when the sum is not the expected one. */
  scatter: 2,
  /** Slot -> file: payload first, header page last, both awaited. */
  write: 3,
  /** File -> slot: reads header page and payload, gives the header to `seals`, and sums the payload. */
  read: 4,
  /** Slot -> slot, summed like scatter. */
  copy: 5,
  /** Sums a slot in place. */
  sum: 6,
  /** Makes what was written to a file durable (fdatasync). */
  flush: 7,
  /** Page-locks a range of host memory for the GPUs in use: they copy to and from it without a detour then. */
  pin: 8,
} as const

/** Numbers of one step in the array given to `submit`, in this order. Unused ones are 0. */
export const stepFields = [
  'operation',
  /** Passed back untouched in the completion. */
  'ticket',
  'sourceRegion',
  /** Byte offset of the slot or file slot; the block's index for gather. */
  'source',
  'targetRegion',
  /** Byte offset of the slot or file slot; the block's index for scatter. */
  'target',
  /** Payload bytes. */
  'byteCount',
  /** Place of a gather or scatter. */
  'place',
  /** The checksum that must come out, or -1 when any will do. */
  'checksum',
  /** Byte offset in `seals`: the 256 header bytes to write, or where a read puts those it found. -1 for none. */
  'seal',
] as const
export const stepNumbers = stepFields.length

/** Numbers of one completion in the array given to `drain`. `status` is 0 or one of `statuses`, or minus an errno. */
const completionFields = ['ticket', 'status', 'byteCount', 'checksum'] as const
export const completionNumbers = completionFields.length

export const statuses = {
  ok: 0,
  /** The bytes do not have the expected checksum. */
  checksum: 1,
  /** The file gave or took fewer bytes than asked. */
  short: 2,
  /** Region, place or queue was closed while the step waited. */
  closed: 3,
} as const

export type RegionHandle = number
export type PlaceHandle = number
export type QueueHandle = number

export interface Native {
  readonly abiVersion: number
  /** JSON: instruction sets chosen, kinds of file I/O available. For `doctor` and logs. */
  describe(): string

  /** Reserves anonymous memory that other processes can be given (memfd). Throws with the errno's name when there is none. */
  openMemory(byteCount: number): RegionHandle
  /** Maps a descriptor that another process handed over, and takes it over, also when it refuses to map it. The file may not be
   *  shorter than `byteCount`. */
  openShared(descriptor: number, byteCount: number, writable: boolean): RegionHandle
  /** Opens or creates a file of exactly `byteCount` bytes; `direct` asks for O_DIRECT and falls back by itself. */
  openFile(path: string, byteCount: number, direct: boolean): RegionHandle
  /** Opens GPU memory that another process handed in at the door as a list of parts; takes the list's descriptor over, also when
   *  it refuses it. Starts the GPU driver at its first call, so it is done aside and promised. */
  openParts(door: number, descriptor: number, byteCount: number, writable: boolean): Promise<RegionHandle>
  /** JSON: the GPUs that are visible, or why there is none. Starts the driver. */
  describeDevices(): string
  /** Ends a region once no step uses it any more; waiting steps complete with `closed`. */
  closeRegion(region: RegionHandle): void
  /** A view of a memory region, for sockets that read into it. The payload itself stays out of JavaScript. */
  windowOf(region: RegionHandle, offset: number, byteCount: number): Uint8Array
  /** The descriptor of a memory region, to hand to another process. Owned by the region. */
  descriptorOf(region: RegionHandle): number

  /** A place: per plane five numbers, base offset, layer stride, block stride, layer count, piece bytes. */
  openPlace(planes: Float64Array): PlaceHandle
  closePlace(place: PlaceHandle): void

  /** Threads that carry out steps. `onReady` is called on the main thread when completions wait: once per batch. */
  openQueue(threadCount: number, onReady: () => void): QueueHandle
  /** Resolves when no step runs any more. */
  closeQueue(queue: QueueHandle): Promise<void>
  /** Takes the first `stepCount` steps, or fewer when the queue is full; returns how many. Checks all of them first: a throw
   *  means none was taken. `seals` is read and written until the steps' completions. */
  submit(queue: QueueHandle, steps: Float64Array, stepCount: number, seals: Uint8Array): number
  /** Moves completions into `into` and returns how many. */
  drain(queue: QueueHandle, into: Float64Array): number

  /** The bytes of a key chain (tiers/block/key.ts says how) into `into`; returns the number of keys. */
  chain(secret: Uint8Array, tokens: Uint32Array, blockTokens: number, into: Uint8Array): number
  crc32c(bytes: Uint8Array, previous: number): number

  /** Who is at the other end of a unix socket: [process id, user id, group id]. */
  peerOf(socketDescriptor: number): Int32Array
  /** Opens the door: a listening unix socket (mode 0600) at which other processes hand in descriptors. */
  openDoor(path: string): number
  closeDoor(door: number): void
  /** The descriptor that was handed in under these 16 bytes by a process of the same user, or -1. Never waits. */
  takeDescriptor(door: number, token: Uint8Array): number
  /** Hands a descriptor in at another process's door. */
  handDescriptor(doorPath: string, token: Uint8Array, descriptor: number): void
}
