export type Change = { readonly file: string; readonly from: string; readonly to: string }
/** A known way to serve wrong KV, put back into the product as a change of text. The simulator must find each. */
export type PlantedBug = { readonly name: string; readonly changes: readonly Change[] }

export const plantedBugs: readonly PlantedBug[] = [
  {
    name: 'a failed copy is reported as done',
    changes: [{ file: 'tiers/state.ts', from: 'if (!done.ok)', to: 'if (!done.ok && done.checksum === -1)' }],
  },
  {
    name: 'no pin on the slot while it is copied to the engine',
    changes: [
      {
        file: 'tiers/load.ts',
        from: "    const ended = await runner.runToEnd({\n      operation: 'scatter',",
        to: "    host.table.unpin(pinned.lease)\n    const ended = await runner.runToEnd({\n      operation: 'scatter',",
      },
      { file: 'tiers/load.ts', from: 'checksum: pinned.checksum,', to: 'checksum: -1,' },
      {
        file: 'tiers/load.ts',
        from: 'const same = host.table.stillHolds(pinned.lease)',
        to: "const same = 'same' as string",
      },
    ],
  },
  {
    name: 'payload checksum not compared',
    changes: [
      {
        file: 'tiers/disk.ts',
        from: 'damageOf(read, exactly, done.checksum)',
        to: "damageOf(read, exactly, read.as === 'seal' ? read.seal.checksum : 0)",
      },
      { file: 'tiers/load.ts', from: 'checksum: pinned.checksum,', to: 'checksum: -1,' },
    ],
  },
  {
    name: 'the slot of a read that was given up is reused at once',
    changes: [
      { file: 'tiers/climb.ts', from: 'void result.quiet.then(release)', to: 'release()' },
      { file: 'tiers/load.ts', from: 'checksum: pinned.checksum,', to: 'checksum: -1,' },
    ],
  },
  {
    name: 'only the payload is looked at, not whose it is',
    changes: [
      { file: 'tiers/block/seal.ts', from: "if (seal.key !== wanted.key) return 'wrong_key'", to: '' },
      {
        file: 'tiers/disk.ts',
        from: 'generation: pinned.slot.generation, checksum: pinned.checksum }',
        to: 'generation: null, checksum: null }',
      },
    ],
  },
  {
    name: 'tenant left out of the namespace',
    changes: [
      {
        file: 'tiers/block/namespace.ts',
        from: '    namespace.tenant,\n    namespace.model,',
        to: '    namespace.model,',
      },
    ],
  },
  {
    name: 'model revision left out of the namespace',
    changes: [{ file: 'tiers/block/namespace.ts', from: '    namespace.revision,\n', to: '' }],
  },
  {
    name: 'indexed before the data is there',
    changes: [
      {
        file: 'tiers/disk.ts',
        from: '    const ends = await Promise.all(writing.map((one) => this.#writeOne(one)))',
        to:
          '    await this.#catalog.put(writing.map(({ wanted, slot }) => ({ seal: { ...wanted.seal, generation: slot.generation }, index: ' +
          'slot.index })))\n' +
          '    const ends = await Promise.all(writing.map((one) => this.#writeOne(one)))',
      },
    ],
  },
  {
    name: 'the old owner of a slot stays in the catalog while it is overwritten',
    changes: [
      { file: 'tiers/disk.ts', from: 'this.#catalog.remove(evicted), this.#removals', to: 'this.#removals' },
    ],
  },
  {
    name: 'no pin on the source of a write-back',
    changes: [
      {
        file: 'tiers/writeback.ts',
        from:
          '      const outcome = await this.#write(pins)\n      for (const { lease, identity } of pins) {\n' +
          '        this.#parts.host.table.unpin(lease)\n',
        to:
          '      for (const { lease } of pins) this.#parts.host.table.unpin(lease)\n' +
          '      const outcome = await this.#write(pins)\n      for (const { identity } of pins) {\n',
      },
    ],
  },
  {
    name: 'a pinned slot may be evicted and reused',
    changes: [
      { file: 'tiers/table.ts', from: 'held.state.pins > 0 || !mayLeave', to: '!mayLeave' },
      {
        file: 'tiers/table.ts',
        from: 'if (state.pins === 0) this.#free(row, this.at(row))\n    return identity',
        to: 'this.#free(row, this.at(row))\n    return identity',
      },
      {
        file: 'tiers/table.ts',
        from: "    assert(this.stillHolds(lease) === 'same', 'a leased slot keeps its generation')\n    this.#unpinRow(lease.row)",
        to: '',
      },
      { file: 'tiers/load.ts', from: "ended.as === 'ok' && same === 'same'", to: "ended.as === 'ok'" },
      { file: 'tiers/load.ts', from: 'checksum: pinned.checksum,', to: 'checksum: -1,' },
    ],
  },
  {
    name: 'one block more is reported than arrived',
    changes: [
      {
        file: 'tiers/load.ts',
        from: 'readyBlocks: run.ready,',
        to: 'readyBlocks: Math.min(count, run.ready + 1),',
      },
    ],
  },
  {
    name: 'tickets are used twice',
    changes: [{ file: 'tiers/run.ts', from: 'this.#nextTicket += batch.length', to: 'this.#nextTicket = 1' }],
  },
  {
    name: 'a load answers before its copies have ended',
    changes: [
      {
        file: 'tiers/load.ts',
        from: 'const outcomes = await Promise.all(pins.map((pinned) => this.#scatterOne(pinned)))',
        to:
          "const copies = pins.map((pinned) => this.#scatterOne(pinned))\n    const late = this.#parts.world.sleep(2).then(() => 'late')\n" +
          '    const outcomes = await Promise.all(copies.map((copy) => Promise.race([copy, late])))',
      },
    ],
  },
  {
    name: 'a lease is never given back after a failed read',
    changes: [
      {
        file: 'tiers/disk.ts',
        from: 'const quiet = done.ended.then(() => this.#table.unpin(pinned.lease))',
        to: 'const quiet = new Promise<void>(() => undefined)',
      },
    ],
  },
]
