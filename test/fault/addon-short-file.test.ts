import { readFileSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { statuses } from '../../addon/native.ts'
import { Rig } from '../addon-rig.ts'

const pageBytes = 4_096

for (const direct of [false, true]) {
  void t.test(
    `a file that somebody cut, ${direct ? 'direct' : 'buffered'}: short, never old bytes`,
    async (t) => {
      const rig = new Rig(1)
      const { native } = rig
      const path = join(t.testdir({}), 'slab')
      const file = native.openFile(path, 16 * pageBytes, direct)
      const host = native.openMemory(8 * pageBytes)
      const byteCount = 3 * pageBytes
      const slot = { sourceRegion: file, source: 4 * pageBytes, targetRegion: host, byteCount, seal: 256 }
      const found = async (): Promise<readonly [number, number]> => {
        const [done] = await rig.run({ operation: 'read', ...slot })
        return [done?.status ?? -1, done?.byteCount ?? -1]
      }
      t.strictSame(await found(), [statuses.ok, byteCount])
      truncateSync(path, 6 * pageBytes)
      t.strictSame(await found(), [statuses.short, pageBytes], 'in the middle of the payload')
      truncateSync(path, 5 * pageBytes)
      t.strictSame(await found(), [statuses.short, 0], 'after the header')
      truncateSync(path, 4 * pageBytes + 100)
      t.strictSame(await found(), [statuses.short, 0], 'in the header')
      truncateSync(path, 0)
      rig.seals.fill(9)
      t.strictSame(await found(), [statuses.short, 0], 'empty')
      t.ok(
        rig.seals.every((byte) => byte === 9),
        'no header was handed up',
      )

      native.windowOf(host, 0, byteCount).fill(5)
      const write = { sourceRegion: host, targetRegion: file, target: 4 * pageBytes, byteCount, seal: 0 }
      t.match(await rig.run({ operation: 'write', ...write }), [{ status: statuses.ok, byteCount }])
      t.strictSame(await found(), [statuses.ok, byteCount], 'a write makes it whole again')
      t.equal(statSync(path).size, 8 * pageBytes)
      t.ok(
        readFileSync(path)
          .subarray(5 * pageBytes)
          .every((byte) => byte === 5),
      )
      await rig.close()
    },
  )
}
