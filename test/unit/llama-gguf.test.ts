import t from 'tap'
import { type GgufRead, kvBytesPerToken, readGguf } from '../../tiers/block/gguf.ts'

type Entry = { readonly name: string; readonly type: number; readonly bytes: Buffer }

function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  const head = Buffer.alloc(8)
  head.writeBigUInt64LE(BigInt(bytes.length))
  return Buffer.concat([head, bytes])
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

function list(type: number, entries: readonly Buffer[]): Buffer {
  const head = Buffer.alloc(12)
  head.writeUInt32LE(type)
  head.writeBigUInt64LE(BigInt(entries.length), 4)
  return Buffer.concat([head, ...entries])
}

function fileOf(entries: readonly Entry[]): Buffer {
  const head = Buffer.alloc(24)
  head.write('GGUF', 'latin1')
  head.writeUInt32LE(3, 4)
  head.writeBigUInt64LE(7n, 8)
  head.writeBigUInt64LE(BigInt(entries.length), 16)
  return Buffer.concat([head, ...entries.flatMap(({ name, type, bytes }) => [text(name), u32(type), bytes])])
}

const base: readonly Entry[] = [
  { name: 'general.architecture', type: 8, bytes: text('llama') },
  { name: 'general.name', type: 8, bytes: text('Tiny') },
  { name: 'llama.block_count', type: 4, bytes: u32(2) },
  { name: 'llama.embedding_length', type: 4, bytes: u32(128) },
  { name: 'llama.attention.head_count', type: 4, bytes: u32(4) },
  { name: 'llama.attention.head_count_kv', type: 4, bytes: u32(2) },
  { name: 'llama.context_length', type: 4, bytes: u32(512) },
  { name: 'tokenizer.ggml.tokens', type: 9, bytes: list(8, [text('a'), text('b'), text('c')]) },
  {
    name: 'tokenizer.ggml.scores',
    type: 9,
    bytes: list(
      6,
      Array.from({ length: 5_000 }, () => Buffer.alloc(4)),
    ),
  },
  { name: 'tokenizer.ggml.bos_token_id', type: 4, bytes: u32(1) },
  { name: 'tokenizer.chat_template', type: 8, bytes: text('{{ messages }}') },
]

function read(bytes: Uint8Array): GgufRead {
  return readGguf((offset, byteCount) => bytes.subarray(offset, offset + byteCount))
}

void t.test('facts of a small model', (t) => {
  const found = read(fileOf(base))
  if (found.as !== 'facts') return t.fail(found.why)
  const { facts } = found
  t.match(facts, { architecture: 'llama', name: 'Tiny', layerCount: 2, headCount: 4, contextLength: 512 })
  t.same(facts.kvHeads, [2, 2])
  t.same([facts.keyLength, facts.valueLength], [32, 32])
  t.match(facts.tokenizer, { tokenCount: 3, bosToken: 1, eosToken: -1, hasChatTemplate: true })
  t.equal(kvBytesPerToken(facts, 2), 2 * 2 * (32 + 32) * 2)
  t.end()
})

void t.test('heads per layer, own key length, no entry for kv heads', (t) => {
  const swap = (name: string, entry: Entry | null): readonly Entry[] =>
    base.flatMap((one) => (one.name === name ? (entry === null ? [] : [entry]) : [one]))
  const perLayer = list(4, [u32(0), u32(3)])
  const name = 'llama.attention.head_count_kv'
  const hybrid = read(fileOf(swap(name, { name, type: 9, bytes: perLayer })))
  t.same(hybrid.as === 'facts' && hybrid.facts.kvHeads, [0, 3])
  const plain = read(fileOf(swap(name, null)))
  t.same(plain.as === 'facts' && plain.facts.kvHeads, [4, 4], 'without the entry every head has its own keys')
  const wide = read(fileOf([...base, { name: 'llama.attention.key_length', type: 4, bytes: u32(192) }]))
  t.equal(wide.as === 'facts' && kvBytesPerToken(wide.facts, 2), 2 * 2 * (192 + 32) * 2)
  const short = read(fileOf(swap(name, { name, type: 9, bytes: list(4, [u32(1)]) })))
  t.same(short, { as: 'refused', why: 'facts' })
  t.end()
})

void t.test('a file cut anywhere, and foreign ones, are refused with a reason', (t) => {
  const whole = fileOf(base)
  const reasons = new Set<string>()
  for (let length = 0; length < whole.length; length += 7) {
    const found = read(whole.subarray(0, length))
    reasons.add(found.as === 'refused' ? found.why : 'facts')
  }
  t.same([...reasons], ['truncated'])
  t.same(read(Buffer.from('PK\x03\x04 not a model at all')), { as: 'refused', why: 'magic' })
  const version = Buffer.from(whole)
  version.writeUInt32LE(9, 4)
  t.same(read(version), { as: 'refused', why: 'version' })
  const counts = Buffer.from(whole)
  counts.writeBigUInt64LE(2n ** 60n, 16)
  t.same(read(counts), { as: 'refused', why: 'counts' })
  t.same(read(fileOf(base.filter((one) => one.name !== 'llama.block_count'))), {
    as: 'refused',
    why: 'facts',
  })
  t.same(read(fileOf([{ name: 'x', type: 77, bytes: u32(0) }])), { as: 'refused', why: 'type' })
  t.end()
})
