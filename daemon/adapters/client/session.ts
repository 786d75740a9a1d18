import { randomBytes } from 'node:crypto'
import type { Native } from '../../../addon/native.ts'
import { type Namespace, namespaceText } from '../../../tiers/block/namespace.ts'
import type { Ask, MessageName } from '../../../tiers/block/wire.ts'
import type { AskResult, DaemonLink } from './link.ts'

/** The one thing that Node cannot do by itself: hand a descriptor to another process. */
export type DescriptorHander = Pick<Native, 'handDescriptor'>

/** Memory that the daemon has mapped too, by number; good for one connection only. */
export type AttachedRegion = { readonly region: number; readonly generation: number }

/** Longest wait for the small asks that prepare others, in milliseconds. */
const smallAskMs = 1_000

/** What an adapter does with the daemon, in its own terms: namespaces by value, regions by descriptor. Numbers are
 *  asked for when needed and forgotten with the connection they came from. */
export class DaemonSession {
  readonly link: DaemonLink
  readonly #hander: DescriptorHander | null
  readonly #doorPath: string
  readonly #namespaces = new Map<string, { readonly generation: number; readonly number: number }>()

  /** Without a hander the daemon can be asked what it holds, but no bytes move. */
  constructor(link: DaemonLink, hander: DescriptorHander | null, doorPath: string) {
    this.link = link
    this.#hander = hander
    this.#doorPath = doorPath
  }

  /** Whether blocks can be moved at all, and if not, why. */
  movesBlocks(): 'yes' | 'no_addon' | 'no_daemon' {
    if (this.#hander === null) return 'no_addon'
    return this.link.state().as === 'ready' ? 'yes' : 'no_daemon'
  }

  /** The daemon's number for a namespace, or null when there is none to be had. */
  async namespaceNumber(namespace: Namespace): Promise<number | null> {
    const state = this.link.state()
    if (state.as !== 'ready') return null
    const text = namespaceText(namespace)
    const known = this.#namespaces.get(text)
    if (known?.generation === state.generation) return known.number
    const { rank, ...named } = namespace
    const fields = { ...named, rankIndex: rank.index, rankCount: rank.count }
    const result = await this.link.ask('openNamespace', fields, smallAskMs)
    if (result.as !== 'answer') return null
    this.#namespaces.set(text, { generation: state.generation, number: result.answer.namespace })
    return result.answer.namespace
  }

  /** Makes a file known to the daemon, which maps `byteCount` bytes of it. The descriptor stays the caller's. */
  async attach(descriptor: number, byteCount: number, writable: boolean): Promise<AttachedRegion | null> {
    const state = this.link.state()
    if (state.as !== 'ready' || this.#hander === null) return null
    const token = new Uint8Array(randomBytes(16))
    try {
      this.#hander.handDescriptor(this.#doorPath, token, descriptor)
    } catch {
      return null
    }
    const fields = { kind: 'shared', byteCount, writable: writable ? 1 : 0, token } as const
    const result = await this.link.ask('attachRegion', fields, smallAskMs)
    if (result.as !== 'answer') return null
    return { region: result.answer.region, generation: state.generation }
  }

  /** Takes a region back. A connection that has ended took its regions with it. */
  detach(region: AttachedRegion): void {
    const state = this.link.state()
    if (state.as !== 'ready' || state.generation !== region.generation) return
    void this.link.ask('detachRegion', { region: region.region }, smallAskMs)
  }

  /** Any other ask; a region's or namespace's number must be of the connection as it is now. */
  ask<Name extends MessageName>(
    message: Name,
    fields: Ask<Name>,
    patienceMs: number,
  ): Promise<AskResult<Name>> {
    return this.link.ask(message, fields, patienceMs)
  }
}
