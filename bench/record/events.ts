import { decodeBatch, type KvEvent } from '../../tiers/block/event.ts'
import { reasonOf } from '../failure.ts'
import { EventCutter } from '../replay/sse.ts'

/** Follows a daemon's event stream and gives each `stored` event of its host tier as a native line: what was computed
 *  anew and kept. Ends when stopped or when the daemon ends; answers why. */
export async function followDaemon(
  url: string,
  elapsedMs: () => number,
  write: (line: string) => void,
  stop: AbortSignal,
): Promise<string> {
  try {
    const response = await fetch(`${url}/events`, { signal: stop })
    if (!response.ok || response.body === null) return `the daemon answers HTTP ${response.status}`
    const cutter = new EventCutter()
    for await (const bytes of response.body) {
      for (const data of cutter.push(bytes)) {
        const decoded = decodeBatch(data)
        // A snapshot is no batch: it tells what was stored before the recording began.
        if (decoded.as === 'refused') continue
        for (const event of decoded.value.events) writeStored(event, elapsedMs(), write)
      }
    }
    return 'the daemon ended the stream'
  } catch (error) {
    return stop.aborted ? 'stopped' : `cannot follow ${url}/events: ${reasonOf(error)}`
  }
}

function writeStored(event: KvEvent, atMs: number, write: (line: string) => void): void {
  if (event.kind !== 'stored' || event.holder.tier !== 'host') return
  const line = {
    timestamp: Math.round(atMs),
    input_length: event.blocks.length * event.holder.blockTokens,
    output_length: 0,
    // Route hashes are kept as they are: 16 hexadecimal digits that only the cluster's secret ties to a prompt.
    hash_ids: event.blocks,
    tenant: event.holder.model,
  }
  write(`${JSON.stringify(line)}\n`)
}
