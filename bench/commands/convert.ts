import { defineCommand } from '../command.ts'
import { inputFields, loadTree, noteAssumed } from '../trace/load.ts'
import { multiplied } from '../trace/reblock.ts'
import { selectedTree, selectionFields, selectionOf } from '../trace/select.ts'
import { arrivalText, nativeText, plainNaming, traceOutputField, writeText } from '../trace/write.ts'

export const command = defineCommand({
  name: 'convert',
  summary: 'any readable trace to native JSON lines (or arrivals only), re-blocked, cut, sped up',
  operand: { name: 'TRACE', about: 'a trace file, or - for standard input', min: 1, max: 1 },
  options: {
    ...inputFields,
    to: {
      kind: 'text',
      placeholder: 'NAME',
      fallback: 'mooncake',
      choices: ['mooncake', 'azure'],
      about: 'Format to write.',
    },
    output: traceOutputField,
    speedup: {
      kind: 'number',
      placeholder: 'X',
      unit: '',
      fallback: 1,
      min: 1e-6,
      max: 1e6,
      about: 'Divide all times by X.',
    },
    copies: {
      kind: 'number',
      placeholder: 'N',
      unit: '',
      fallback: 1,
      min: 1,
      max: 10_000,
      whole: true,
      about: 'That many times the traffic, nothing shared between the copies.',
    },
    inputTokensMax: {
      kind: 'number',
      placeholder: 'N',
      unit: 'tokens',
      fallback: null,
      min: 1,
      max: 1e9,
      whole: true,
      about: 'Cut prompts to whole blocks of at most this.',
    },
    ...selectionFields,
  },
  examples: [
    { line: 'convert sessions.tar.gz --output code.jsonl.gz', about: 'WEKA sessions as one native trace.' },
    { line: 'convert trace.jsonl --reblock 4 > coarse.jsonl', about: 'Four blocks to one.' },
    { line: 'convert mixed.jsonl.gz --tenant chat --before 600', about: 'Ten minutes of one tenant.' },
  ],
  run: async (operands, options, io) => {
    const loaded = await loadTree(operands[0] ?? '-', options, io)
    noteAssumed(loaded, io)
    const chosen = selectedTree(loaded.tree, selectionOf(loaded.tree, options))
    const changes = options.copies > 1 || options.inputTokensMax !== null
    const longest = options.inputTokensMax ?? Number.MAX_SAFE_INTEGER
    const tree = changes ? multiplied(chosen, options.copies, longest) : chosen
    const naming = { ...plainNaming(tree), speedup: options.speedup }
    const write = options.to === 'azure' ? arrivalText : nativeText
    await writeText(
      options.output,
      write(tree, naming, () => true),
      io,
    )
    io.note(`written with ${tree.blockTokens} tokens per block\n`)
    return 0
  },
})
