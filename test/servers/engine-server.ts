import { closeSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { HeldBlocks } from '../../daemon/held.ts'
import { LinkRates } from '../../daemon/links.ts'
import { type Log, lineLog } from '../../daemon/log.ts'
import { daemonMeter } from '../../daemon/metrics.ts'
import { Publisher } from '../../daemon/publish.ts'
import { EngineServer, type ServerNative } from '../../daemon/server.ts'
import { realWorld, type World } from '../../tiers/block/clock.ts'
import { StoreDouble } from './store-double.ts'

/** The real server on a real socket, over the double of the store and a door without native code. */
export async function startEngineServer(
  directory: string,
  options: { readonly world?: World; readonly native?: Partial<ServerNative> } = {},
) {
  const world = options.world ?? realWorld
  const store = new StoreDouble()
  const meter = daemonMeter()
  const links = new LinkRates()
  const lines: string[] = []
  const broken: unknown[] = []
  const log: Log = lineLog(realWorld, false, (line) => lines.push(line))
  const doors = new Map<string, number>()
  const heldBlocks = new HeldBlocks((events) => publisher.publish(events))
  const publisher = new Publisher({
    world,
    meter,
    publisher: 'node-1',
    epoch: 'epoch-1',
    holdings: () => [...heldBlocks.holdings(), ...store.holdings()],
  })
  store.onEvent((event) => publisher.publish([event]))
  const native: ServerNative = {
    peerOf: () => Int32Array.of(process.pid, process.geteuid?.() ?? -1, 0),
    openDoor: () => 1,
    closeDoor: () => undefined,
    takeDescriptor: (_door, token) => {
      const name = Buffer.from(token).toString('hex')
      const descriptor = doors.get(name) ?? -1
      doors.delete(name)
      return descriptor
    },
    openParts: () => Promise.reject(new Error('openParts.device: no GPU here')),
    ...options.native,
  }
  const socket = join(directory, 'daemon.sock')
  const server = await EngineServer.open({
    world,
    native,
    store,
    meter,
    links,
    heldBlocks,
    log,
    socket,
    door: `${socket}.door`,
    epoch: 'epoch-1',
    onBroken: (error) => broken.push(error),
  })
  return {
    server,
    store,
    meter,
    links,
    publisher,
    heldBlocks,
    socket,
    lines,
    broken,
    /** Puts a file of so many bytes behind the door; returns its token. */
    handIn(byteCount: number): Uint8Array {
      const token = crypto.getRandomValues(new Uint8Array(16))
      const file = join(directory, `region-${doors.size}`)
      writeFileSync(file, new Uint8Array(byteCount))
      doors.set(Buffer.from(token).toString('hex'), openSync(file, 'r+'))
      return token
    },
    async stop(): Promise<void> {
      await server.stop(realWorld.nowMs() + 500)
      for (const descriptor of doors.values()) closeSync(descriptor)
    },
  }
}
