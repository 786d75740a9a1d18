import { createServer } from 'node:net'

/** Ports that nothing listens on: each p together with p + 10000, where a SeaweedFS part puts its second
 *  listener. From a range no service uses by default; held all at once while choosing, so that they differ.
 *  */
export async function freePortPairs(count: number): Promise<readonly number[]> {
  const first = 20_000
  const span = 10_000
  const held: { close(): Promise<void> }[] = []
  const ports: number[] = []
  // The process id spreads the starting points of tests that run beside each other.
  let next = (process.pid * 97) % span
  try {
    for (let tried = 0; tried < span && ports.length < count; tried++) {
      const port = first + next
      next = (next + 13) % span
      const low = await hold(port)
      if (low === null) continue
      held.push(low)
      const high = await hold(port + 10_000)
      if (high === null) continue
      held.push(high)
      ports.push(port)
    }
  } finally {
    for (const one of held) await one.close()
  }
  if (ports.length < count) throw new Error(`only ${ports.length} of ${count} free port pairs found`)
  return ports
}

function hold(port: number): Promise<{ close(): Promise<void> } | null> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(null))
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      resolve({ close: () => new Promise((closed) => server.close(() => closed())) })
    })
  })
}
