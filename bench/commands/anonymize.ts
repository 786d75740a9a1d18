import { createHmac, randomBytes } from 'node:crypto'
import { defineCommand } from '../command.ts'
import { inputFields, type Loaded, loadTree, noteAssumed } from '../trace/load.ts'
import { nativeText, plainNaming, traceOutputField, writeText } from '../trace/write.ts'

/** Bits of a written id. Why 53: every JSON reader keeps such integers exactly. */
const idBits = 53n

export const command = defineCommand({
  name: 'anonymize',
  summary: 'a trace without text, names or dates: salted block ids, numbered sessions and tenants',
  operand: { name: 'TRACE', about: 'a trace file, or - for standard input', min: 1, max: 1 },
  options: {
    ...inputFields,
    salt: {
      kind: 'text',
      placeholder: 'TEXT',
      fallback: null,
      about:
        'Secret for the ids: two exports can be joined only with the same salt. Without it: random, thrown away.',
    },
    output: traceOutputField,
  },
  examples: [
    {
      line: 'anonymize requests.log --output shareable.jsonl.gz',
      about: 'A request log that can be shared.',
    },
    {
      line: 'anonymize monday.jsonl --salt "$SECRET"',
      about: 'Ids that also match Tuesday with the same secret.',
    },
  ],
  run: async (operands, options, io) => {
    const loaded = await loadTree(operands[0] ?? '-', options, io, { keepIds: true })
    noteAssumed(loaded, io)
    const salt = options.salt === null ? randomBytes(32) : Buffer.from(options.salt, 'utf8')
    if (loaded.idOf === null && options.salt !== null) {
      io.note('re-blocked or re-ordered: the ids cannot be joined with those of another export\n')
    }
    const { tree } = loaded
    const ids = saltedIds(loaded, salt)
    const startMs = tree.arrivalMs.reduce((least, ms) => Math.min(least, ms), Number.POSITIVE_INFINITY)
    const naming = {
      ...plainNaming(tree),
      blockId: (node: number) => ids[node] ?? 0n,
      tenantName: (tenant: number) => `tenant-${tenant}`,
      shiftMs: startMs,
    }
    await writeText(
      options.output,
      nativeText(tree, naming, () => true),
      io,
    )
    return 0
  },
})

/** Per node a keyed hash of its parent's hash and its own id, so that an id stands for the whole prefix, as in
 *  the trace, and cannot be turned back without the salt. */
function saltedIds(loaded: Loaded, salt: Buffer): BigUint64Array {
  const { parents, nodeCount } = loaded.tree
  const ids = new BigUint64Array(nodeCount)
  const message = Buffer.alloc(16)
  for (let node = 0; node < nodeCount; node += 1) {
    const parent = parents[node] ?? -1
    message.writeBigUInt64LE(parent < 0 ? 0n : (ids[parent] ?? 0n), 0)
    message.writeBigUInt64LE(loaded.idOf === null ? BigInt(node) : loaded.idOf(node), 8)
    const digest = createHmac('sha256', salt).update(message).digest()
    ids[node] = digest.readBigUInt64LE(0) & ((1n << idBits) - 1n)
  }
  return ids
}
