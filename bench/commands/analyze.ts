import { defineCommand } from '../command.ts'
import { inputFields, loadTree, noteAssumed } from '../trace/load.ts'

export const command = defineCommand({
  name: 'analyze',
  summary: 'shape of a trace: lengths, reuse gaps, sharing, hit rate of an unlimited cache',
  operand: { name: 'TRACE', about: 'a trace file, or - for standard input', min: 1, max: 1 },
  options: { ...inputFields },
  examples: [{ line: 'analyze mooncake-conversation.jsonl.gz', about: 'What does this trace look like?' }],
  run: async (operands, options, io) => {
    const loaded = await loadTree(operands[0] ?? '-', options, io)
    noteAssumed(loaded, io)
    const { tree } = loaded
    io.out(`${tree.name} ${tree.requestCount} ${tree.nodeCount} ${tree.referenceCount}\n`)
    return 0
  },
})
