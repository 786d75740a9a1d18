/** CRC-32C of small things: seal headers and catalog records. Payloads are summed in the addon, beside the copy. */

const polynomial = 0x82f63b78
const table = new Uint32Array(256)
for (let byte = 0; byte < 256; byte++) {
  let remainder = byte
  for (let bit = 0; bit < 8; bit++) remainder = (remainder >>> 1) ^ (remainder & 1 ? polynomial : 0)
  table[byte] = remainder >>> 0
}

/** The checksum of `bytes`, or of what `previous` covered followed by `bytes`. */
export function crc32c(bytes: Uint8Array, previous = 0): number {
  let remainder = ~previous
  for (let i = 0; i < bytes.length; i++) {
    remainder = (remainder >>> 8) ^ (table[(remainder ^ (bytes[i] as number)) & 255] as number)
  }
  return ~remainder >>> 0
}
