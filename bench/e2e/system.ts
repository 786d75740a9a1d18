import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { realWorld } from '../../tiers/block/clock.ts'
import { InputError } from '../failure.ts'

/** What a running `terrace up` says about itself in its data directory. */
type RunningSystem = {
  readonly processId: number
  readonly router: string
  readonly admin: string
  readonly workers: readonly { readonly name: string; readonly url: string }[]
  readonly restartCount: number
}

export function findSystem(data: string): RunningSystem {
  const path = join(data, 'up.json')
  const none = `nothing runs on "${data}": start "terrace up" in another terminal, or give --data DIR`
  let fields: { [name: string]: unknown }
  try {
    fields = JSON.parse(readFileSync(path, 'utf8'))
    process.kill(Number(fields.processId), 0)
  } catch {
    throw new InputError(none)
  }
  const workers = Array.isArray(fields.workers)
    ? fields.workers.map(({ name, url }: { name: unknown; url: unknown }) => ({
        name: String(name),
        url: String(url),
      }))
    : []
  if (typeof fields.router !== 'string' || workers.length === 0) throw new InputError(none)
  return {
    processId: Number(fields.processId),
    router: fields.router,
    admin: String(fields.admin),
    workers,
    restartCount: Number(fields.restartCount ?? 0),
  }
}

/** Longest wait for a restart, and how often it is looked for, in milliseconds. */
const restartMsMax = 180_000
const lookMs = 250

/** Restarts daemon and engines: their memory is gone, what lies on NVMe and in S3 stays. */
export async function restartSystem(data: string, before: RunningSystem, stop: AbortSignal): Promise<void> {
  process.kill(before.processId, 'SIGHUP')
  const deadlineMs = realWorld.nowMs() + restartMsMax
  while (realWorld.nowMs() < deadlineMs && !stop.aborted) {
    await realWorld.sleep(lookMs)
    const now = findSystem(data)
    if (now.restartCount !== before.restartCount && (await allServe(now.router)) && (await allAttached(now)))
      return
  }
  throw new InputError('the system did not come back after its restart: look at its terminal')
}

/** Whether the running system has a bucket below its disk. */
export async function hasBucket(system: RunningSystem): Promise<boolean> {
  const status = await getJson(`${system.admin}/status`)
  const tiers = (status as { tiers?: { s3?: { state?: string } } } | null)?.tiers
  return tiers?.s3?.state === 'serving'
}

/** Drops what lies on this machine, as a lost disk would, once all of it is in the bucket too. */
export async function loseDisk(system: RunningSystem, stop: AbortSignal): Promise<void> {
  const deadlineMs = realWorld.nowMs() + restartMsMax
  while (realWorld.nowMs() < deadlineMs && !stop.aborted) {
    const metrics = await (await fetch(`${system.admin}/metrics`)).text()
    if (/^terrace_tier_writeback_waiting_blocks\{tier="s3"\} 0$/m.test(metrics)) break
    await realWorld.sleep(lookMs)
  }
  const cleared = await fetch(`${system.admin}/clear?which=local`, { method: 'POST' })
  if (!cleared.ok) throw new InputError(`the daemon did not drop its local blocks: ${cleared.status}`)
}

async function getJson(url: string): Promise<unknown> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2_000) })
    return await response.json()
  } catch {
    return null
  }
}

async function allServe(router: string): Promise<boolean> {
  try {
    const response = await fetch(`${router}/health`, { signal: AbortSignal.timeout(2_000) })
    const { workers } = (await response.json()) as { workers?: { serving: number; all: number } }
    return response.ok && workers !== undefined && workers.serving === workers.all
  } catch {
    return false
  }
}

/** Whether every engine moves blocks to and from the daemon: an engine serves a little before that. */
async function allAttached(system: RunningSystem): Promise<boolean> {
  const answers = await Promise.all(system.workers.map(({ url }) => movesBlocks(url)))
  return answers.every((moves) => moves)
}

async function movesBlocks(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/terrace/status`, { signal: AbortSignal.timeout(2_000) })
    const { daemon, kv } = (await response.json()) as {
      daemon?: { movesBlocks?: string }
      kv?: { state?: string }
    }
    return daemon?.movesBlocks === 'yes' && kv?.state === 'on'
  } catch {
    return false
  }
}
