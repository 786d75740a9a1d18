import t from 'tap'
import { admissionOf } from '../../daemon/admission.ts'
import { daemonFields, type Machine, readDaemonConfig } from '../../daemon/config.ts'
import { KvFailure } from '../../tiers/block/failures.ts'
import { flagOf } from '../../tiers/block/option.ts'

const gib = 2 ** 30
const mib = 2 ** 20

function machine(changes: Partial<Machine> = {}): Machine {
  return {
    environment: {},
    home: '/home/u',
    name: 'node-1',
    runtime: '/run/user/1/terrace',
    memoryBytes: 16 * gib,
    readText: () => ({ why: 'ENOENT' }),
    roomBytesAt: () => 100 * gib,
    slabBytesIn: () => 0,
    ...changes,
  }
}

function read(words: readonly string[], changes: Partial<Machine> = {}) {
  const config = readDaemonConfig(words, machine(changes))
  if (config === null) throw new Error('help was asked for')
  return config
}

function whyOf(words: readonly string[], changes: Partial<Machine> = {}): string {
  try {
    read(words, changes)
  } catch (error) {
    if (error instanceof KvFailure && error.code === 'KVT_CONFIG_BAD') return error.message
    throw error
  }
  return 'nothing was refused'
}

void t.test('without a word everything is settled', async (t) => {
  t.match(read([]), {
    data: '/home/u/.local/share/terrace',
    secretFile: '/home/u/.config/terrace/secret',
    socket: '/home/u/.local/share/terrace/daemon.sock',
    door: '/home/u/.local/share/terrace/daemon.sock.door',
    hostBytes: 4 * gib,
    nvmeBytes: 8 * gib,
    node: 'node-1',
    adminPort: 0,
    policy: 'terrace',
    s3: null,
    natsUrl: null,
  })
  const environment = { XDG_DATA_HOME: '/d', XDG_CONFIG_HOME: '/c', TERRACE_NODE: 'n2' }
  t.match(read([], { environment }), { data: '/d/terrace', secretFile: '/c/terrace/secret', node: 'n2' })
  t.match(read([], { environment: { XDG_DATA_HOME: 'relative' } }), { data: '/home/u/.local/share/terrace' })
})

void t.test('sizes fit the machine', async (t) => {
  t.equal(read([], { memoryBytes: 64 * gib }).hostBytes, 8 * gib, 'at most 8 GiB')
  t.equal(read([], { memoryBytes: gib + 7 }).hostBytes, 256 * mib, 'whole segments')
  t.equal(read([], { memoryBytes: 200 * mib }).hostBytes, 64 * mib, 'at least one segment')
  t.equal(read([], { roomBytesAt: () => 4 * gib }).nvmeBytes, 2 * gib)
  t.equal(read([], { roomBytesAt: () => 100 * mib }).nvmeBytes, 0, 'no room, no tier')
  t.equal(read([], { roomBytesAt: () => 0, slabBytesIn: () => 3 * gib }).nvmeBytes, 3 * gib, 'a slab stays')
  t.equal(read(['--nvme-bytes', '1GiB'], { slabBytesIn: () => 3 * gib }).nvmeBytes, gib, 'unless told')
})

void t.test('command line, environment, file: in this order', async (t) => {
  const text = JSON.stringify({
    daemon: { hostBytes: '1GiB', node: 'file', policy: 'fifo' },
    router: { x: 1 },
  })
  const environment = { TERRACE_NODE: 'env', TERRACE_POLICY: 'lru' }
  const readText = () => ({ text })
  t.match(read(['--config', 'f.json', '--node', 'word'], { environment, readText }), {
    node: 'word',
    policy: 'lru',
    hostBytes: gib,
  })
  t.match(read([], { environment: { TERRACE_CONFIG: 'f.json' }, readText }), { node: 'file' })
})

void t.test('every refusal names the field and what to do', async (t) => {
  const fromFile = (json: unknown) =>
    whyOf(['--config', 'f.json'], { readText: () => ({ text: JSON.stringify(json) }) })
  t.match(whyOf(['--config', 'f.json']), /f.json cannot be read \(ENOENT\): correct --config/)
  t.match(
    fromFile({ daemon: { hostByte: 1 } }),
    /unknown field "daemon.hostByte": did you mean "daemon.hostBytes"/,
  )
  t.match(fromFile({ daemon: { hostBytes: 'x' } }), /f.json: "daemon.hostBytes": "x" is not a size/)
  t.match(whyOf(['--host-bytes', '1MiB']), /--host-bytes: "1MiB" is out of range: 64MiB to 8TiB/)
  t.match(
    whyOf(['--host-bytes', '32GiB']),
    /--host-bytes: is more than the memory of this machine \(16384MiB\)/,
  )
  t.match(whyOf(['--nvme-bytes', '1MiB']), /--nvme-bytes: must be 0 \(off\) or at least 64MiB/)
  t.match(whyOf(['--policy', 'best']), /--policy: "best" is unknown: use one of .*lru/)
  t.match(whyOf(['--node', 'a b']), /--node: must be 1 to 128 letters/)
  t.match(whyOf(['--s3', 'http://x']), /--s3: has a scheme that is not known here: use s3:/)
  t.match(whyOf(['--s3-bytes', '1GiB']), /--s3-bytes, --s3-create-bucket: need --s3/)
  t.match(whyOf(['--nats-token', 'f']), /--nats-token: needs --nats-url/)
  t.match(whyOf(['--admin-port', '70000']), /--admin-port: "70000" is out of range: 0 to 65535/)
  t.match(whyOf(['--socket', `/${'x'.repeat(120)}`]), /--socket: is too long for a unix socket: at most 102/)
  t.match(whyOf(['--data', '/d', '--secret-file', '/d/secret']), /--secret-file: must lie outside --data/)
  t.match(whyOf([], { environment: { TERRACE_HOST_BYTES: 'x' } }), /TERRACE_HOST_BYTES: "x" is not a size/)
  t.notMatch(whyOf(['--nats-url', 'nats://u:hunter2@h:1']), /hunter2/)
})

void t.test('a path too long for a socket gets a short one, the same at every start', async (t) => {
  const words = ['--data', `/${'deep/'.repeat(30)}data`]
  const { socket } = read(words)
  t.match(socket, /^\/run\/user\/1\/terrace\/[0-9a-f]{16}\.sock$/)
  t.equal(read(words).socket, socket)
  t.not(read(['--data', `/${'deep/'.repeat(31)}data`]).socket, socket)
})

void t.test('a mistyped variable is told, help is help', async (t) => {
  const { warnings } = read([], { environment: { TERRACE_HOSTBYTES: '1GiB', TERRACE_ADDON_FILE: 'x' } })
  t.strictSame(warnings, ['TERRACE_HOSTBYTES is not known here: did you mean TERRACE_HOST_BYTES?'])
  t.equal(readDaemonConfig(['--help'], machine()), null)
  t.ok(Object.keys(daemonFields).every((name) => /^[a-z0-9-]+$/.test(flagOf(name))))
})

void t.test('admission rules: what they need is asked for, and no rule is the fallback', async (t) => {
  t.same(admissionOf(read([])), {}, 'every tier takes everything')
  const learning = ['--nvme-policy', 'terrace', '--nvme-admission', 'likely:0.3', '--nvme-demotion', 'demote']
  t.match(admissionOf(read(learning)), { nvme: { demotion: 'demote', writeBytesPerDay: 0 } })
  t.match(admissionOf(read(['--nvme-write-bytes-per-day', '1TiB'])), {
    nvme: { rule: { name: 'all' }, demotion: 'write-through', writeBytesPerDay: 2 ** 40 },
  })
  const bucket = ['--s3', 's3://b/p', '--s3-admission', 'used-twice']
  t.match(admissionOf(read(bucket)), { s3: { rule: { name: 'used-twice' } } })
  for (const policy of ['lru', 'adaptive', 'hazard']) {
    t.match(whyOf(['--policy', policy, '--nvme-admission', 'likely']), /--nvme-policy terrace/, policy)
  }
  t.match(whyOf(['--nvme-admission', 'often']), /--nvme-admission: no rule "often": use one of all, /)
  t.match(whyOf(['--s3-admission', 'used-twice']), /--s3-admission: needs --s3/)
  t.match(whyOf(['--nvme-bytes', '0', '--nvme-demotion', 'demote']), /need an nvme tier/)
  t.match(whyOf(['--nvme-demotion', 'never']), /--nvme-demotion/)
})
