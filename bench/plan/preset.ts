/** Models known by name: the fields of their published config.json that the size of a KV cache depends on. */
export const modelPresets: Readonly<Record<string, Readonly<Record<string, number | string>>>> = {
  'llama-3.1-8b': gqa(32, 8, 128),
  'llama-3-70b': gqa(80, 8, 128),
  'llama-3.1-405b': gqa(126, 8, 128),
  'qwen3-8b': gqa(36, 8, 128),
  'qwen3-32b': gqa(64, 8, 128),
  'qwen3-30b-a3b': gqa(48, 4, 128),
  'deepseek-v3': mla(61, 512, 64),
  'deepseek-r1': mla(61, 512, 64),
  'kimi-k2': mla(61, 512, 64),
  'smollm2-135m': gqa(30, 3, 64),
}

function gqa(layers: number, kvHeads: number, headSize: number): Readonly<Record<string, number | string>> {
  return {
    num_hidden_layers: layers,
    num_attention_heads: kvHeads,
    num_key_value_heads: kvHeads,
    head_dim: headSize,
    torch_dtype: 'bfloat16',
  }
}

function mla(layers: number, latent: number, rope: number): Readonly<Record<string, number | string>> {
  return { num_hidden_layers: layers, kv_lora_rank: latent, qk_rope_head_dim: rope, torch_dtype: 'bfloat16' }
}
