import { beforeDeadline, type World } from '../../tiers/block/clock.ts'

export type Fetched =
  | { readonly as: 'json'; readonly json: unknown }
  | { readonly as: 'failed'; readonly why: string }

/** GETs JSON from one of our own processes. */
export async function getJson(url: string, world: World, timeMsMax = 2_000): Promise<Fetched> {
  const abort = new AbortController()
  const work = (async (): Promise<Fetched> => {
    const response = await fetch(url, { signal: abort.signal })
    if (!response.ok) return { as: 'failed', why: `${response.status} from ${url}` }
    return { as: 'json', json: await response.json() }
  })().catch((error: unknown): Fetched => ({ as: 'failed', why: reasonOf(error) }))
  const answer = await beforeDeadline(world, world.nowMs() + timeMsMax, work)
  if (answer === null) abort.abort()
  return answer?.value ?? { as: 'failed', why: `no answer from ${url} in ${timeMsMax / 1_000} s` }
}

export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause as NodeJS.ErrnoException | undefined
  return cause?.code ?? error.message
}
