import { hash } from 'node:crypto'

/** The worker that a conversation belongs to, by rendezvous hashing: routers agree without telling each
 *  other, and when a worker goes only its own conversations move. Null without workers. */
export function affineWorker(tenant: string, session: string, workers: readonly string[]): string | null {
  let best: string | null = null
  let bestWeight = ''
  for (const worker of workers) {
    const weight = hash('sha256', `${tenant.length}:${tenant}${session.length}:${session}${worker}`, 'hex')
    if (best === null || weight > bestWeight) {
      best = worker
      bestWeight = weight
    }
  }
  return best
}
