import { type Attachment, blockTokens } from '../cache/attach.ts'
import { blockPartOf, commonLength, emptySlot } from '../cache/plan.ts'
import type { Slot } from '../cache/slots.ts'

/** The server's Anthropic API takes no slot number: it picks the idle slot that shares most with the prompt. A
 *  prepared slot shares its block part; a slot that may share as much is a rival and is emptied first, when nobody
 *  uses it. One that is in use is left: the server does not pick it while it works. A rival that becomes idle in
 *  between costs a miss and a wrong guess, which is counted. */
export async function clearRivals(attachment: Attachment, chosen: Slot, prompt: Uint32Array): Promise<void> {
  const part = blockPartOf(prompt.length, blockTokens)
  await eraseIdle(attachment, [], (slot) => slot !== chosen && mayShare(slot, prompt, part))
}

/** Empties every slot that may hold another tenant's tokens, of those held and of those idle. Why: a request that the server
 *  places by itself must not be answered from another tenant's prefix. */
export async function eraseForeign(
  attachment: Attachment,
  held: readonly Slot[],
  tenant: string,
): Promise<void> {
  const foreign = ({ content }: Slot): boolean =>
    content.as === 'unknown' || (content.tenant !== tenant && content.tokens.length > 0)
  await eraseIdle(attachment, held.filter(foreign), foreign)
}

async function eraseIdle(
  attachment: Attachment,
  held: readonly Slot[],
  matches: (slot: Slot) => boolean,
): Promise<void> {
  const idle = attachment.slots.takeIdle(matches)
  try {
    for (const slot of [...held, ...idle.slots]) {
      const reply = await attachment.upstream.post(`/slots/${slot.index}?action=erase`, {})
      slot.content = reply.as === 'ok' ? emptySlot : { as: 'unknown' }
    }
  } finally {
    idle.release()
  }
}

/** Whether a slot may share as much of the prompt as the prepared one, for all that is known of it. */
function mayShare(slot: Slot, prompt: Uint32Array, part: number): boolean {
  const { content } = slot
  if (content.as === 'unknown') return true
  const shared = commonLength(content.tokens, prompt)
  if (part === 0) return shared > 0
  return shared >= part || (content.grows && shared === content.tokens.length)
}
