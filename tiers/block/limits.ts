import { assert } from './assert.ts'

/** Every numeric limit of the product, with unit and reason. The file refuses to load when two of them
 *  contradict each other. */

/** Slots start at multiples of this, in bytes. Why: the largest alignment that direct I/O asks for in practice,
 *  and the header page of a stored block. */
export const slotPageBytes = 4_096
/** Arena segments are this long, in bytes. Why: one size class takes and gives back space in such pieces; large
 *  enough to be a sequential run for a drive, small enough that a small tier has several. */
export const segmentBytes = 64 * 2 ** 20
/** Smallest and largest payload of one block, in bytes. Why: below, headers dominate; above, a block no
 *  longer fits a segment together with its header page. */
export const blockBytesMin = 512
export const blockBytesMax = segmentBytes - slotPageBytes
/** Planes of a layout. Why: K, V and their scales are four; eight leaves room and keeps descriptors small. */
export const layoutPlanesMax = 8

/** Blocks of one request that one frame may name. Why: a million tokens in blocks of 16 is 65,536. */
export const chainBlocksMax = 65_536
/** Tokens of one request. Why: the longest context windows in service are a million tokens. */
export const chainTokensMax = 1_048_576
/** One frame on the unix socket, in bytes, header included. Why: a full chain of tokens is 4 MiB. */
export const frameBytesMax = 8 * 2 ** 20
/** Text fields on the wire (model names, tenants), in bytes of UTF-8. */
export const wireTextBytesMax = 1_024
/** Sessions at one daemon. Why: engines of one node, with room for restarts. */
export const sessionsMax = 64
/** Namespaces one daemon interns. Why: tenants times models of one node; each costs a few hundred bytes. */
export const namespacesMax = 16_384
/** Regions and places one session may hold. */
export const sessionRegionsMax = 64
/** Asks of one session that may wait at once. Why: more than an engine has requests is a runaway client. */
export const sessionAsksMax = 256
/** Namespaces one session may have open. Why: tenants times models of one engine; the daemon's own limit stands above it. */
export const sessionNamespacesMax = 1_024
/** Bytes of asks of one session that may wait at once; past it the daemon stops reading. Why: a few full chains. */
export const sessionAskBytesMax = 32 * 2 ** 20
/** Answers that one session may leave unread, in bytes; past it the session ends. Why: above two of the largest answers. */
export const sessionAnswerBytesMax = 8 * 2 ** 20
/** Block names an engine may say it holds, over all its prefixes. Why: more than any engine's own cache has blocks. */
export const sessionHeldBlocksMax = 262_144
/** Longest first frame, in bytes. Why: nobody who has not said hello may make the daemon buffer more. */
export const helloFrameBytesMax = 8_192
/** An engine sends something at least this often, in milliseconds, and its session ends after so many missed beats. Why: an
 *  engine that hangs must not keep its memory mapped for ever; one that is only busy must not lose its session. */
export const heartbeatMs = 5_000
export const heartbeatsMissedMax = 3
/** Longest path of a unix socket, in bytes. Why: what the kernel's address has room for, without its ending zero. */
export const unixPathBytesMax = 107
/** Descriptors that wait at the door for their frame. Why: they are matched within one round trip. */
export const waitingDescriptorsMax = 64

/** Largest number of blocks in one transfer plan. Why: a plan is the unit of cancellation. */
export const planBlocksMax = 256
/** Steps of one native queue, taken and not yet drained. Why: the native side must never wait for JavaScript. */
export const queueStepsMax = 4_096

/** Longest single copy we allow before its slot is given up for lost, in milliseconds. */
export const copyMsMax = 2_000
/** Longest lease without renewal, in milliseconds. */
export const leaseMsMax = 10_000
/** Default and longest deadline of a Load, in milliseconds. Why: past it the engine would have computed. */
export const loadDeadlineMsDefault = 2_000
export const loadDeadlineMsMax = 30_000
/** Longest wait of a client for the daemon's hello, in milliseconds. */
export const helloMsMax = 1_000

/** Events one publisher keeps for late readers. Why: a reader that lost more asks for a snapshot. */
export const eventsKeptMax = 65_536
/** Blocks in one event. Why: bounds the decoder and the size of one message. */
export const eventBlocksMax = 4_096

/** Bytes of encoded events one publisher keeps for late readers, beside their count. Why: bounds memory however long they are. */
export const eventBytesKeptMax = 32 * 2 ** 20
/** One encoded batch, in bytes. Why: half of what a NATS server takes by default, with room for its envelope. */
export const eventBatchBytesMax = 480 * 2 ** 10
/** Readers of one event stream, and the bytes one may leave unread before it is cut. Why: it comes back and gets a snapshot. */
export const eventReadersMax = 64
export const eventReaderBytesMax = 8 * 2 ** 20
/** Silence on an event stream after which a heartbeat is sent, in milliseconds. */
export const eventHeartbeatMs = 1_000
/** Rows of a tier: one per so many of its bytes, at most so many. Why: a row costs a few hundred bytes of memory; blocks of
 *  real models are larger than this, and a tier of smaller ones evicts when its rows are used up. */
export const tierRowBytes = 32 * 2 ** 10
export const tierRowsMax = 2 ** 20
/** Blocks that wait to be written to a tier below. Past it the oldest is left to eviction, with a counter. */
export const writebackBlocksMax = 16_384

/** Blocks whose uses an admission rule remembers, and at most so many of each kind of those that a tier let go. Why: some
 *  hundred bytes each; several times the blocks of a node's host memory. */
export const pastBlocksMax = 262_144
/** Time without one admitted block, while blocks are refused, that is a finding, in milliseconds. Why: a rule that lets nothing
 *  through looks like a healthy, idle tier. */
export const admissionDryMs = 600_000

/** Errors in a row, or milliseconds of silence, after which a tier is left out for a while. */
export const tierErrorsMax = 3
export const tierRestMs = 5_000

/** Payload bytes of one S3 pack aimed at, and the most in one object. Why: large enough that a request's
 *  fixed cost vanishes, small enough for one PUT without parts. */
export const packBytesTarget = 16 * 2 ** 20
export const packBytesMax = 80 * 2 ** 20
/** Longest time a block waits for its pack to fill, in milliseconds. */
export const packWaitMsMax = 1_000
/** Longest S3 request in milliseconds, and the slowest rate that still counts as alive, in bytes per second. */
export const s3RequestMsMax = 5_000
export const s3BytesPerSecondMin = 2 ** 20
/** The time over which that rate is taken, in milliseconds. Why: a stalled store costs a request at most this. */
export const s3RateWindowMs = 2_000
/** S3 requests in flight. */
export const s3RequestsMax = 16
/** Further tries of a failed S3 request, and the wait before the first in milliseconds; doubled each time, and ten times as long
 *  when the store asked to slow down. */
export const s3RetriesMax = 2
export const s3RetryMs = 100
/** Longest rest of the S3 tier between two tries, in milliseconds. Why: wrong credentials must not become a storm. */
export const s3RestMsMax = 60_000
/** Bytes between two wanted blocks that one ranged GET reads along, and the most of one such GET. Why: below the gap a second
 *  request costs more than the bytes; above the length, several in parallel are faster than one. */
export const s3GapBytesMax = 256 * 2 ** 10
export const s3RunBytesMax = 8 * 2 ** 20
/** Blocks in one pack. Why: bounds its index, which is read whole. */
export const packBlocksMax = 8_192
/** Payload bytes that may wait for a PUT. Why: they hold host slots meanwhile. */
export const packWaitingBytesMax = 128 * 2 ** 20
/** Blocks the S3 tier remembers, and packs one listing may name. Why: about 200 bytes of memory each. */
export const s3EntriesMax = 500_000
export const s3PacksListedMax = 100_000
/** Pause between two looks for other daemons' packs, in milliseconds; namespaces looked at each time; and the time after which
 *  a namespace is listed from its start again, so that deleted packs are noticed. */
export const s3PollMs = 3_000
export const s3PollNamespacesMax = 8
export const s3RelistMs = 600_000
/** How far back a listing starts, in milliseconds. Why: names sort by their writer's clock, and clocks differ. */
export const s3ListOverlapMs = 120_000
/** Age at which a pack without an index is leftover of a crash, in milliseconds. */
export const packOrphanMs = 3_600_000
/** Time the S3 tier may take to write what waits when it is closed, in milliseconds. */
export const s3CloseMsMax = 2_000

/** Body of one client request at the router, in bytes. Why: a million tokens of text is about 4 MiB; images come on top. */
export const requestBodyBytesMax = 32 * 2 ** 20
/** Depth of JSON we are willing to walk. */
export const jsonDepthMax = 64
/** Requests that may wait for one engine's slots. Why: past that, waiting is longer than a retry elsewhere. */
export const engineQueueMax = 128
/** One JSON answer of an engine that the adapter holds whole, to correct its counts or to put it together from a stream, in
 *  bytes. Why: a full context with the probabilities of every token is less. */
export const engineAnswerBytesMax = 64 * 2 ** 20
/** Workers one router knows. */
export const workersMax = 1_024
/** Header bytes, header lines and query bytes of one client request. Why: real clients send a tenth of it. */
export const requestHeaderBytesMax = 16 * 2 ** 10
export const requestHeaderLinesMax = 128
export const requestQueryBytesMax = 1_024
/** Time to receive the headers, and the whole of one request, in milliseconds. Why: a slow body must not stay open for ever. */
export const requestHeadersMsMax = 10_000
export const requestReceiveMsMax = 30_000
/** Client connections at once, and requests on one of them. */
export const clientConnectionsMax = 4_096
export const requestsPerConnectionMax = 10_000
/** Bytes of bodies that a router holds for requests under way. Why: many large bodies at once must not eat the machine. */
export const requestBytesHeldMax = 512 * 2 ** 20
/** API keys in one key file. */
export const apiKeysMax = 100_000
/** Time to connect to a worker, and to get the routing names of a prompt from one, in milliseconds. */
export const workerConnectMsMax = 1_000
export const promptNamesMsMax = 250
/** Prompts whose routing names a router remembers, and the hashes of all of them together. */
export const promptNamesKeptMax = 4_096
export const promptHashesKeptMax = 2 ** 20
/** Tries of one request, on one worker after another, before the client is told. */
export const forwardTriesMax = 3
/** Bytes of a worker's answer kept back: a refusal that another worker may still mend, or the end with the usage in it. */
export const answerKeptBytesMax = 64 * 2 ** 10
export const answerTailBytesMax = 4 * 2 ** 10
/** One message on a daemon's event stream, in bytes: a snapshot of a full index. */
export const eventMessageBytesMax = 64 * 2 ** 20
/** Time a stop may take before everything left is cut, in milliseconds. */
export const stopMsMax = 2_500

assert(planBlocksMax * 8 <= queueStepsMax, 'several full plans must fit the ring')
assert(copyMsMax * 2 < leaseMsMax, 'a lease must outlive the copy it protects, with one retry')
assert(copyMsMax < heartbeatMs * heartbeatsMissedMax, 'no session ends for one slow copy')
assert(chainBlocksMax * 8 < sessionAnswerBytesMax / 2, 'two of the largest answers may wait')
assert(eventBlocksMax * 24 < eventBatchBytesMax / 2, 'any event fits a batch')
assert(blockBytesMax + slotPageBytes <= segmentBytes, 'a block and its header page must fit a segment')
assert(chainTokensMax * 4 + 65_536 <= frameBytesMax, 'a full chain of tokens must fit a frame')
assert(packBytesTarget <= packBytesMax && blockBytesMax <= packBytesMax, 'any block fits some pack')
assert(packBytesMax <= packWaitingBytesMax, 'the largest pack may wait')
assert(
  s3RunBytesMax <= packBytesMax && s3GapBytesMax < s3RunBytesMax,
  'runs lie inside packs, gaps inside runs',
)
assert(s3CloseMsMax < stopMsMax, 'the S3 tier ends before the daemon is cut')
assert(segmentBytes % slotPageBytes === 0, 'segments hold whole pages')
