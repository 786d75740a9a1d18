import { createHash, createHmac } from 'node:crypto'
import t from 'tap'
import { crc32c } from '../../tiers/block/crc32c.ts'
import { Hmac, sha256 } from '../../tiers/block/sha256.ts'

const bytesOf = (length: number, step = 1): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * step) & 255)

void t.test('SHA-256 and its code agree with the platform for every length around a chunk', (t) => {
  for (let length = 0; length < 200; length++) {
    const message = bytesOf(length, 7)
    t.same(Buffer.from(sha256(message)), createHash('sha256').update(message).digest(), `length ${length}`)
    const key = bytesOf(length, 3)
    const code = new Uint8Array(32)
    const hmac = new Hmac(key)
    hmac.sign(message, code)
    const again = new Uint8Array(32)
    hmac.sign(message, again)
    const expected = createHmac('sha256', key).update(message).digest()
    t.same([Buffer.from(code), Buffer.from(again)], [expected, expected], `code of length ${length}`)
  }
  t.end()
})

void t.test('CRC-32C has its published values', (t) => {
  const text = (value: string): Uint8Array => new TextEncoder().encode(value)
  const golden: readonly [string, Uint8Array, number][] = [
    ['empty', text(''), 0],
    ['a', text('a'), 0xc1d04330],
    ['digits', text('123456789'), 0xe3069283],
    ['32 zeros', new Uint8Array(32), 0x8a9136aa],
    ['32 ones', new Uint8Array(32).fill(255), 0x62a8ab43],
    ['0..31', bytesOf(32), 0x46dd794e],
    ['31..0', bytesOf(32).reverse(), 0x113fdb5c],
    ['page', bytesOf(4096), 0x9c71fe32],
  ]
  for (const [name, bytes, sum] of golden) t.equal(crc32c(bytes), sum, name)
  t.equal(crc32c(text('6789'), crc32c(text('12345'))), 0xe3069283, 'in two parts')
  t.end()
})
