/** What the router believes of a worker. Pure: probes and failed requests are news, the next state follows.
 *  */
export type Health =
  /** Never answered yet: gets no requests. */
  | { readonly at: 'unknown'; readonly failures: number }
  | { readonly at: 'serving'; readonly failures: number }
  | { readonly at: 'out'; readonly failures: number; readonly why: HealthWhy }

type HealthWhy = 'refused' | 'failing' | 'late'
export type HealthNews =
  | { readonly kind: 'good' }
  /** Nobody listens: no second opinion is needed. */
  | { readonly kind: 'refused' }
  /** An answer that is none, or a connection that broke. */
  | { readonly kind: 'failed' }
  | { readonly kind: 'late' }

/** Failures in a row until a worker is out. Why two: one broken connection may be the connection's fault. */
const failuresUntilOut = 2

export const unknownHealth: Health = { at: 'unknown', failures: 0 }

export function nextHealth(health: Health, news: HealthNews): Health {
  if (news.kind === 'good') return { at: 'serving', failures: 0 }
  const failures = health.failures + 1
  if (news.kind === 'refused') return { at: 'out', failures, why: 'refused' }
  if (health.at === 'out' || failures >= failuresUntilOut) {
    return { at: 'out', failures, why: news.kind === 'late' ? 'late' : 'failing' }
  }
  return { ...health, failures }
}
