import { createServer } from 'node:net'
import { KvFailure } from '../../tiers/block/failures.ts'

/** Refuses with one sentence when the port cannot be had. */
export async function requirePort(host: string, port: number, option: string): Promise<void> {
  const code = await tryPort(host, port)
  if (code === null || typeof code === 'number') return
  if (code === 'EADDRINUSE') throw new KvFailure('KVT_PORT_IN_USE', { port, option })
  throw new KvFailure('KVT_CONFIG_BAD', {
    why: `${host}:${port} cannot be listened on (${code}): give another ${option}`,
  })
}

/** Free ports on loopback, all different. Held until all are found, so that none is given twice. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer())
  const ports: number[] = []
  for (const server of servers) {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(0, '127.0.0.1', resolve)
    })
    const address = server.address()
    if (address !== null && typeof address === 'object') ports.push(address.port)
  }
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

async function tryPort(host: string, port: number): Promise<number | string | null> {
  const server = createServer()
  return await new Promise((resolve) => {
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    server.listen(port, host, () => server.close(() => resolve(null)))
  })
}
