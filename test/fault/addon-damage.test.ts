import { closeSync, openSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type BlockKey, keyAt } from '../../tiers/block/id.ts'
import { routeHashAt } from '../../tiers/block/route.ts'
import {
  damageOf,
  readSeal,
  type Seal,
  type SealWanted,
  sealByteCount,
  writeSeal,
} from '../../tiers/block/seal.ts'
import { Rig } from '../addon-rig.ts'

const pageBytes = 4096
const payloadBytes = 3 * pageBytes + 100
const slotAt = 2 * pageBytes

function keyOf(byte: number): BlockKey {
  return keyAt(new Uint8Array(32).fill(byte), 0)
}

async function storedBlock(directory: string) {
  const rig = new Rig(2)
  const { native } = rig
  const path = join(directory, 'slab')
  const host = native.openMemory(16 * pageBytes)
  const file = native.openFile(path, 16 * pageBytes, true)
  const payload = native.windowOf(host, 0, payloadBytes)
  for (let i = 0; i < payload.length; i++) payload[i] = (i * 11) & 255
  const [sum] = await rig.run({ operation: 'sum', sourceRegion: host, byteCount: payloadBytes })
  const seal: Seal = {
    key: keyOf(1),
    parent: keyOf(2),
    namespace: keyOf(3),
    layout: '0123456789abcdef',
    position: 5,
    blockTokens: 16,
    payloadBytes,
    checksum: sum?.checksum ?? -1,
    generation: 9,
    route: routeHashAt(new Uint8Array(8).fill(4), 0),
  }
  writeSeal(seal, rig.seals, 0)
  const step = { byteCount: payloadBytes, seal: 0 }
  await rig.run({ operation: 'write', sourceRegion: host, targetRegion: file, target: slotAt, ...step })
  const wanted: SealWanted = { ...seal }
  const read = async (): Promise<string | null> => {
    const [done] = await rig.run({
      operation: 'read',
      sourceRegion: file,
      source: slotAt,
      targetRegion: host,
      target: 8 * pageBytes,
      byteCount: payloadBytes,
      seal: sealByteCount,
    })
    if (done?.status !== 0) return `status ${done?.status}`
    return damageOf(readSeal(rig.seals, sealByteCount), wanted, done.checksum)
  }
  return { rig, path, read }
}

function flipBit(path: string, bit: number): void {
  const file = openSync(path, 'r+')
  const byte = new Uint8Array(1)
  readSync(file, byte, 0, 1, bit >> 3)
  byte[0] = (byte[0] ?? 0) ^ (1 << (bit & 7))
  writeSync(file, byte, 0, 1, bit >> 3)
  closeSync(file)
}

void t.test('every flipped bit of the stored header is found', async (t) => {
  const { rig, path, read } = await storedBlock(t.testdir({}))
  t.equal(await read(), null, 'untouched')
  let found = 0
  for (let bit = 0; bit < sealByteCount * 8; bit++) {
    flipBit(path, slotAt * 8 + bit)
    if ((await read()) !== null) found++
    flipBit(path, slotAt * 8 + bit)
  }
  t.equal(found, sealByteCount * 8)
  t.equal(await read(), null, 'put back')
  await rig.close()
})

void t.test('flipped bits of the stored payload are found', async (t) => {
  const { rig, path, read } = await storedBlock(t.testdir({}))
  const first = (slotAt + pageBytes) * 8
  const bits = payloadBytes * 8
  for (let i = 0; i < 500; i++) {
    const bit = i === 0 ? bits - 1 : (i * 7919) % bits
    flipBit(path, first + bit)
    const damage = await read()
    if (damage !== 'payload_checksum') t.fail(`bit ${bit}: ${damage}`)
    flipBit(path, first + bit)
  }
  t.equal(await read(), null, 'put back')
  await rig.close()
})

void t.test('a block that lies in the wrong place is found', async (t) => {
  const { rig, path, read } = await storedBlock(t.testdir({}))
  const file = openSync(path, 'r+')
  const other = new Uint8Array(rig.seals.subarray(0, sealByteCount))
  other.fill(8, 16, 48)
  writeSync(file, other, 0, sealByteCount, slotAt)
  t.equal(await read(), 'header_checksum')
  closeSync(file)
  await rig.close()
})
