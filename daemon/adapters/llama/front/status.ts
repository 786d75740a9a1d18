import { blockBytesOf } from '../../../../tiers/block/layout.ts'
import { type Attachment, blockTokens } from '../cache/attach.ts'
import { blockLayoutOf } from '../slot-file.ts'
import type { Counters } from './counters.ts'
import type { FrontOptions } from './serve.ts'

/** What `/terrace/status` shows: engine, slots, whether blocks are moved and why not, counters. No prompts, no tokens. */
export function statusOf(
  options: Pick<FrontOptions, 'name' | 'engine' | 'session' | 'attaching'>,
  attachment: Attachment | null,
  counters: Counters,
  notComposed: readonly string[],
): unknown {
  const state = options.engine.state()
  return {
    name: options.name,
    model: options.attaching.modelName,
    engine: {
      state: state.as,
      ...(state.as === 'down' ? { why: state.why } : {}),
      ...(state.as === 'ready' ? { url: state.upstream.url, processId: state.processId } : {}),
      ...(state.as === 'stopped' ? {} : { generation: state.generation }),
      build: attachment?.build ?? '',
      contextTokens: attachment?.contextTokens ?? 0,
    },
    daemon: options.session === null ? { state: 'none' } : daemonOf(options.session),
    kv: kvOf(attachment),
    slots: slotsOf(attachment),
    waiting: attachment?.slots.waitingCount() ?? 0,
    notComposed,
    counters,
  }
}

function daemonOf(session: NonNullable<FrontOptions['session']>): unknown {
  const state = session.link.state()
  return {
    state: state.as,
    movesBlocks: session.movesBlocks(),
    ...(state.as === 'connecting' ? { why: state.why } : {}),
  }
}

function kvOf(attachment: Attachment | null): unknown {
  if (attachment === null) return { state: 'off', why: 'the engine is not attached yet' }
  const { kv } = attachment
  if (kv.as === 'off') return { state: 'off', why: kv.why }
  return {
    state: 'on',
    why: 'the self-test passed: cut and restored slots compute the same bits',
    blockTokens,
    blockBytes: blockBytesOf(blockLayoutOf(kv.identity.shape, blockTokens)),
    computation: kv.identity.computation,
    prefillMsPerBlock: Math.round(kv.speed.msPerBlock() * 10) / 10,
  }
}

function slotsOf(attachment: Attachment | null): unknown {
  return (attachment?.slots.slots ?? []).map(({ index, content }) => ({
    index,
    content: content.as,
    tokens: content.as === 'known' ? content.tokens.length : 0,
    wholeTokens: content.as === 'known' ? content.whole : 0,
  }))
}
