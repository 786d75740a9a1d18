/** What one model's KV cache takes. */
export type KvShape = {
  readonly name: string
  /** Bytes that every further token adds, over all layers that keep it. */
  readonly bytesPerToken: number
  /** Layers that keep every token, only a window, or a fixed state instead of tokens. */
  readonly fullLayers: number
  readonly windowLayers: number
  readonly stateLayers: number
  /** Bytes that a sequence takes at most in its window layers, whatever its length. */
  readonly windowBytes: number
  /** Sentences about what was assumed or is not counted. */
  readonly notes: readonly string[]
}

type Config = Readonly<Record<string, unknown>>

/** Bytes per number of a KV cache, by the names engines use. */
export const kvDtypeBytes: Readonly<Record<string, number>> = {
  auto: 0,
  float32: 4,
  bfloat16: 2,
  float16: 2,
  bf16: 2,
  fp16: 2,
  fp8: 1,
  int8: 1,
  fp4: 0.5,
}

/** A config that cannot be used; the message names the field. */
export class ModelProblem extends Error {
  override readonly name = 'ModelProblem'
}

/** KV bytes from a Hugging Face `config.json`. `dtype` names the KV type; `auto` is the model's own. */
export function kvShapeOfConfig(name: string, whole: Config, dtype: string): KvShape {
  const nested = whole.text_config ?? whole.llm_config ?? whole.language_config
  const config = typeof nested === 'object' && nested !== null ? { ...whole, ...(nested as Config) } : whole
  const elementBytes = elementBytesOf(config, dtype)
  const layers = layerKinds(config)
  const notes: string[] = []
  const layerBytes = tokenBytesOfLayer(config, elementBytes, notes)
  const fullLayers = layers.filter((kind) => kind === 'full').length
  const windowLayers = layers.filter((kind) => kind === 'window').length
  const stateLayers = layers.length - fullLayers - windowLayers
  if (fullLayers + windowLayers === 0)
    throw new ModelProblem('no layer keeps KV per token: there is nothing to plan')
  const windowTokens = count(config, 'sliding_window') ?? 0
  if (windowLayers > 0) {
    const counted =
      fullLayers > 0 ? 'not counted per token' : 'counted as full ones, which is an upper figure'
    notes.push(`${windowLayers} layers keep a window of ${windowTokens} tokens: ${counted}`)
  }
  if (stateLayers > 0) {
    notes.push(`${stateLayers} layers keep a recurrent state: not counted, it is stored per restore point`)
  }
  return {
    name,
    // With windows alone a stored block still holds all its layers, even if a prefix needs only the last of them.
    bytesPerToken: (fullLayers > 0 ? fullLayers : windowLayers) * layerBytes,
    fullLayers,
    windowLayers,
    stateLayers,
    windowBytes: windowLayers * windowTokens * layerBytes,
    notes,
  }
}

/** Bytes of one token in one attention layer: `2 * kv heads * head size`, or the latent of MLA. */
function tokenBytesOfLayer(config: Config, elementBytes: number, notes: string[]): number {
  const latent = count(config, 'kv_lora_rank')
  if (latent !== null) {
    const rope = count(config, 'qk_rope_head_dim') ?? 0
    const indexer = count(config, 'index_head_dim') ?? 0
    if (indexer > 0)
      notes.push(`a sparse-attention index key of ${indexer} bytes per token and layer is counted`)
    return (latent + rope) * elementBytes + indexer
  }
  const heads = needed(config, 'num_attention_heads', 'n_head')
  const kvHeads = count(config, 'num_key_value_heads') ?? (config.multi_query === true ? 1 : heads)
  const headSize = count(config, 'head_dim') ?? needed(config, 'hidden_size', 'n_embd') / heads
  const valueSize = count(config, 'v_head_dim') ?? headSize
  return kvHeads * (headSize + valueSize) * elementBytes
}

function elementBytesOf(config: Config, dtype: string): number {
  const own = String(config.dtype ?? config.torch_dtype ?? 'bfloat16')
  const bytes = kvDtypeBytes[dtype === 'auto' ? own : dtype]
  if (bytes === undefined || bytes === 0)
    throw new ModelProblem(`unknown KV type "${dtype === 'auto' ? own : dtype}"`)
  return bytes
}

type LayerKind = 'full' | 'window' | 'state'

const fullNames = new Set([
  'full_attention',
  'attention',
  'global',
  'hybrid',
  '*',
  'full',
  'chunked_attention_full',
])
const windowNames = new Set(['sliding_attention', 'sliding', 'local', 'local_attention', 'chunked_attention'])

/** What each layer keeps, from the several ways in which configs say it. */
function layerKinds(config: Config): LayerKind[] {
  const layerCount = needed(config, 'num_hidden_layers', 'n_layer')
  const listed = config.layer_types ?? config.layers_block_type ?? config.attn_type_list
  const pattern = config.hybrid_override_pattern
  if (Array.isArray(listed)) return listed.map((entry) => kindNamed(String(entry)))
  if (typeof pattern === 'string') {
    // One letter per block of the model: '*' is attention, 'M' a recurrent layer, '-' and 'E' keep nothing.
    return [...pattern].filter((letter) => letter === '*' || letter === 'M').map(kindNamed)
  }
  const interval = count(config, 'full_attention_interval')
  const period = count(config, 'attn_layer_period')
  const offset = count(config, 'attn_layer_offset') ?? 0
  const slidingEvery = count(config, 'sliding_window_pattern')
  const slides = count(config, 'sliding_window') !== null && config.use_sliding_window !== false
  const firstSliding = slides ? (count(config, 'max_window_layers') ?? 0) : layerCount
  return Array.from({ length: layerCount }, (_, layer): LayerKind => {
    if (interval !== null) return (layer + 1) % interval === 0 ? 'full' : 'state'
    if (period !== null) return layer % period === offset ? 'full' : 'state'
    if (slidingEvery !== null) return (layer + 1) % slidingEvery === 0 ? 'full' : 'window'
    return layer < firstSliding ? 'full' : 'window'
  })
}

function kindNamed(name: string): LayerKind {
  if (fullNames.has(name)) return 'full'
  return windowNames.has(name) ? 'window' : 'state'
}

function count(config: Config, name: string): number | null {
  const value = config[name]
  if (value === undefined || value === null) return null
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) {
    throw new ModelProblem(`field "${name}" must be a number of at least 0`)
  }
  return value
}

function needed(config: Config, name: string, other: string): number {
  const value = count(config, name) ?? count(config, other)
  if (value === null || value === 0) throw new ModelProblem(`field "${name}" is missing`)
  return value
}
