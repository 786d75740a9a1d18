import { assert } from './assert.ts'
import { type BlockKey, keyAt, keyByteCount } from './id.ts'
import { type Namespace, namespaceFingerprint } from './namespace.ts'
import { Hmac } from './sha256.ts'

/** The secret that blocks of one namespace are named with. Derived from the cluster's secret and the whole
 *  namespace, so that equal tokens of two tenants (or models, or layouts) never share a key and nobody without
 *  the secret can tell which key belongs to a guessed prompt. */
export function chainSecretOf(clusterSecret: Uint8Array, namespace: Namespace): Uint8Array {
  const fingerprint = namespaceFingerprint(namespace)
  const label = new TextEncoder().encode('terrace-key-1')
  const message = new Uint8Array(label.length + fingerprint.length)
  message.set(label)
  message.set(fingerprint, label.length)
  const secret = new Uint8Array(keyByteCount)
  new Hmac(clusterSecret).sign(message, secret)
  return secret
}

/** Bytes of the chain of all whole token blocks: key i = HMAC(secret, key i-1 then its tokens, each 4 bytes little
 *  endian); before the first stand 32 zero bytes. A rest shorter than a block has no key. */
export function chainBytes(secret: Uint8Array, tokens: Uint32Array, blockTokens: number): Uint8Array {
  assert(Number.isInteger(blockTokens) && blockTokens > 0, 'a block has tokens')
  const blockCount = Math.floor(tokens.length / blockTokens)
  const chain = new Uint8Array(blockCount * keyByteCount)
  const hmac = new Hmac(secret)
  const message = new Uint8Array(keyByteCount + blockTokens * 4)
  const view = new DataView(message.buffer)
  for (let block = 0; block < blockCount; block++) {
    if (block > 0) message.set(chain.subarray((block - 1) * keyByteCount, block * keyByteCount))
    for (let i = 0; i < blockTokens; i++) {
      view.setUint32(keyByteCount + i * 4, tokens[block * blockTokens + i] as number, true)
    }
    hmac.sign(message, chain.subarray(block * keyByteCount, (block + 1) * keyByteCount))
  }
  return chain
}

/** The key of a block that an engine names by a hash of its own: for engines that never tell their tokens. */
export function foreignKey(secret: Uint8Array, engineHash: Uint8Array): BlockKey {
  const label = new TextEncoder().encode('terrace-foreign-1')
  const message = new Uint8Array(label.length + engineHash.length)
  message.set(label)
  message.set(engineHash, label.length)
  const key = new Uint8Array(keyByteCount)
  new Hmac(secret).sign(message, key)
  return keyAt(key, 0)
}
