import { field } from '../json.ts'

/** Bodies of two APIs as the server turns them into a chat, for learning the prompt before the server computes it.
 *  Only what the template sees is converted. What is not understood gives null: the prompt is then unknown, which
 *  costs a hit, nothing else. */

type Json = Record<string, unknown>

const textPart = (text: unknown): Json => ({ text, type: 'text' })

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Fields of a chat body that shape the prompt and keep their name and place in the other APIs. */
function copied(body: Json, names: readonly string[]): Json {
  return Object.fromEntries(
    names.filter((name) => Object.hasOwn(body, name)).map((name) => [name, body[name]]),
  )
}

/** An OpenAI Responses body as a chat body, or null. */
export function chatOfResponses(body: Json): Json | null {
  const messages: Json[] = []
  if (Object.hasOwn(body, 'instructions')) {
    const content = typeof body.instructions === 'string' ? body.instructions : ''
    messages.push({ role: 'system', content })
  }
  const input = body.input
  if (typeof input === 'string') messages.push({ role: 'user', content: input })
  else if (Array.isArray(input)) {
    for (const item of input) if (!addItem(messages, item)) return null
  } else return null
  const { input: _, instructions: __, tools, reasoning, ...rest } = body
  const chat: Json = { ...rest, messages }
  if (Array.isArray(tools)) {
    const functions = tools.filter((tool) => field(tool, 'type') === 'function').map(functionOf)
    if (functions.length > 0) chat.tools = functions
  }
  const effort = field(reasoning, 'effort')
  if (effort !== undefined) chat.reasoning_effort = effort
  return chat
}

function functionOf(tool: Json): Json {
  const { type: _, ...rest } = tool
  return { type: 'function', function: Object.hasOwn(rest, 'strict') ? rest : { ...rest, strict: true } }
}

/** Adds one item of a Responses input; false when it is of a kind not understood. */
function addItem(messages: Json[], item: unknown): boolean {
  if (!isObject(item)) return false
  const { role, type } = item
  const last = messages.at(-1)
  const before = last?.role === 'assistant' ? last : undefined
  if (role === 'user' || role === 'system' || role === 'developer') {
    const content = textsOf(item.content, ['input_text'])
    if (content === null) return false
    const { type: _, status: __, ...kept } = item
    messages.push({ ...kept, content })
    return true
  }
  if (role === 'assistant' && type === 'message') {
    const content = textsOf(item.content, ['output_text', 'input_text'])
    if (content === null || before !== undefined) return false
    const { type: _, status: __, ...kept } = item
    messages.push({ ...kept, content })
    return true
  }
  if (type === 'function_call' && typeof item.arguments === 'string') {
    const call = {
      function: { arguments: item.arguments, name: item.name },
      id: item.call_id,
      type: 'function',
    }
    if (before === undefined) messages.push({ role: 'assistant', tool_calls: [call] })
    else before.tool_calls = [...(Array.isArray(before.tool_calls) ? before.tool_calls : []), call]
    return true
  }
  if (type === 'function_call_output' && typeof item.output === 'string') {
    messages.push({ content: item.output, role: 'tool', tool_call_id: item.call_id })
    return true
  }
  return false
}

function textsOf(content: unknown, types: readonly string[]): Json[] | null {
  if (typeof content === 'string') return [textPart(content)]
  if (!Array.isArray(content)) return null
  const parts = content.map((part) =>
    types.includes(String(field(part, 'type'))) && typeof field(part, 'text') === 'string'
      ? textPart(field(part, 'text'))
      : null,
  )
  return parts.every((part) => part !== null) ? parts : null
}

/** An Anthropic Messages body as a chat body, or null. */
export function chatOfMessages(body: Json): Json | null {
  const messages: Json[] = []
  const system = body.system
  if (system !== undefined && system !== null) messages.push({ role: 'system', content: systemText(system) })
  if (!Array.isArray(body.messages)) return null
  for (const message of body.messages) if (!addMessage(messages, message)) return null
  const chat: Json = { ...copied(body, ['stream', 'chat_template_kwargs']), messages }
  if (Array.isArray(body.tools)) {
    chat.tools = body.tools.map((tool) => ({
      type: 'function',
      function: {
        name: textOr(field(tool, 'name')),
        description: textOr(field(tool, 'description')),
        parameters: field(tool, 'input_schema') ?? {},
      },
    }))
  }
  const choice = field(body.tool_choice, 'type')
  if (choice === 'auto') chat.tool_choice = 'auto'
  if (choice === 'any' || choice === 'tool') chat.tool_choice = 'required'
  return chat
}

/** A Messages request as a chat request that computes the same: beside what shapes the prompt, what the server takes over of
 *  the rest. Null when the body's text would not stay what it is. */
export function chatRequestOfMessages(body: Json, text: string): Json | null {
  const chat = chatOfMessages(body)
  if (chat === null || !staysSame(text)) return null
  const { stream: _, ...request } = chat
  if (Object.hasOwn(body, 'stop_sequences')) request.stop = body.stop_sequences
  request.max_tokens = Object.hasOwn(body, 'max_tokens') ? body.max_tokens : 4_096
  const { thinking } = body
  if (field(thinking, 'type') === 'enabled') {
    const budget = field(thinking, 'budget_tokens')
    request.thinking_budget_tokens = typeof budget === 'number' ? Math.trunc(budget) : 10_000
  }
  return { ...request, ...copied(body, ['temperature', 'top_p', 'top_k']) }
}

/** Fields of a request that mean the same however their number is written. */
const plainNumbers = new Set(['temperature', 'top_p', 'top_k', 'max_tokens'])

/** Whether JSON is the same after it was read and written here: a number like 1.0 or one of twenty digits is not, nor are names
 *  that are numbers, which change places. */
function staysSame(text: string): boolean {
  const changed: { holder: unknown; name: string }[] = []
  const root: unknown = JSON.parse(
    text,
    function (this: unknown, name: string, value: unknown, context?: { source?: string }) {
      const isOther = typeof value === 'number' && context?.source !== String(value)
      if (isOther || (/^\d+$/.test(name) && !Array.isArray(this))) changed.push({ holder: this, name })
      return value
    },
  )
  return changed.every(({ holder, name }) => holder === root && plainNumbers.has(name))
}

function textOr(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function systemText(system: unknown): string {
  if (typeof system === 'string') return withoutStamp(system)
  if (!Array.isArray(system)) return ''
  return system
    .filter((block) => field(block, 'type') === 'text')
    .map((block) => withoutStamp(textOr(field(block, 'text'))))
    .join('')
}

/** One client stamps every request with five digits that change each time; the server evens them out, and so must we. */
function withoutStamp(text: string): string {
  const mark = 'x-anthropic-billing-header:'
  if (!text.startsWith(mark)) return text
  const at = text.indexOf('cch=', mark.length)
  if (at < 0 || text[at + 9] !== ';') return text
  return `${text.slice(0, at + 4)}fffff${text.slice(at + 9)}`
}

function addMessage(messages: Json[], message: unknown): boolean {
  if (!isObject(message)) return false
  const role = textOr(message.role)
  const content = message.content
  if (!Array.isArray(content)) {
    if (content !== undefined || role !== 'assistant') messages.push(message)
    return true
  }
  const texts: unknown[] = []
  const calls: Json[] = []
  const results: Json[] = []
  let reasoning = ''
  for (const block of content) {
    const type = field(block, 'type')
    if (type === 'text') texts.push(block)
    else if (type === 'thinking') reasoning += textOr(field(block, 'thinking'))
    else if (type === 'tool_use') {
      const input = JSON.stringify(field(block, 'input') ?? {})
      const named = { name: textOr(field(block, 'name')), arguments: input }
      calls.push({ id: textOr(field(block, 'id')), type: 'function', function: named })
    } else if (type === 'tool_result') {
      const text = resultText(field(block, 'content'))
      if (text === null) return false
      results.push({ role: 'tool', tool_call_id: textOr(field(block, 'tool_use_id')), content: text })
    } else return false
  }
  if (texts.length > 0 || calls.length > 0 || reasoning !== '') {
    const converted: Json = { role, content: texts.length > 0 ? texts : '' }
    if (calls.length > 0) converted.tool_calls = calls
    if (reasoning !== '') converted.reasoning_content = reasoning
    messages.push(converted)
  }
  messages.push(...results)
  return true
}

function resultText(content: unknown): string | null {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return ''
  if (content.some((part) => field(part, 'type') !== 'text')) return null
  return content.map((part) => textOr(field(part, 'text'))).join('')
}
