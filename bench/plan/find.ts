import { closeSync, openSync, readFileSync, readSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { kvBytesPerToken, readGguf } from '../../tiers/block/gguf.ts'
import { InputError, reasonOf, UsageError } from '../failure.ts'
import { suggestion } from '../nearest.ts'
import { type KvShape, kvDtypeBytes, kvShapeOfConfig, ModelProblem } from './model.ts'
import { modelPresets } from './preset.ts'

/** The KV shape of a preset, a `config.json` (or the folder it lies in), or a GGUF file. */
export function findModel(model: string, dtype: string): KvShape {
  const preset = modelPresets[model.toLowerCase()]
  if (preset !== undefined) return kvShapeOfConfig(model, preset, dtype)
  if (!/[./\\]/.test(model)) {
    const known = Object.keys(modelPresets)
    throw new UsageError(`--model: no preset "${model}" (${known.join(', ')}).${suggestion(model, known)}`)
  }
  return model.endsWith('.gguf') ? shapeOfGguf(model, dtype) : shapeOfFile(model, dtype)
}

function shapeOfFile(path: string, dtype: string): KvShape {
  try {
    const file = statSync(path).isDirectory() ? join(path, 'config.json') : path
    const config: unknown = JSON.parse(readFileSync(file, 'utf8'))
    if (typeof config !== 'object' || config === null) throw new ModelProblem('not a JSON object')
    const name = String((config as { _name_or_path?: unknown })._name_or_path ?? basename(path))
    return kvShapeOfConfig(name, config as Readonly<Record<string, unknown>>, dtype)
  } catch (error) {
    throw new InputError(`--model "${path}" is no usable config.json: ${reasonOf(error)}`)
  }
}

function shapeOfGguf(path: string, dtype: string): KvShape {
  let file: number
  try {
    file = openSync(path, 'r')
  } catch (error) {
    throw new InputError(`cannot open "${path}": ${reasonOf(error)}`)
  }
  try {
    const read = readGguf((offset, byteCount) => {
      const bytes = Buffer.alloc(byteCount)
      return bytes.subarray(0, readSync(file, bytes, 0, byteCount, offset))
    })
    if (read.as === 'refused') throw new InputError(`--model "${path}" is no usable GGUF file: ${read.why}`)
    const { facts } = read
    const attending = facts.kvHeads.filter((heads) => heads > 0).length
    return {
      name: facts.name || basename(path),
      bytesPerToken: kvBytesPerToken(facts, kvDtypeBytes[dtype] || 2),
      fullLayers: attending,
      windowLayers: 0,
      stateLayers: facts.layerCount - attending,
      windowBytes: 0,
      notes: facts.slidingWindow > 0 ? ['sliding layers are counted as full ones'] : [],
    }
  } finally {
    closeSync(file)
  }
}
