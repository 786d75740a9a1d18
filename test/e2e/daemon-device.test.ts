import { randomBytes } from 'node:crypto'
import { openSync } from 'node:fs'
import t from 'tap'
import { loadNative } from '../../addon/load.ts'
import { shortFolder } from '../servers/daemon-process.ts'
import { daemonOnGpu, daemonTrip, deviceRegion, namespaceOnGpu } from '../servers/daemon-trip.ts'
import { GpuEngine, standInDriver, standInMappings } from '../servers/stand-in-gpu.ts'
import { WirePeer } from '../servers/wire-peer.ts'

const driver = standInDriver(t)
const environment = { TERRACE_CUDA_LIBRARY: driver }

for (const kind of ['handles', 'descriptors'] as const) {
  void t.test(`blocks of GPU memory, by ${kind}, outlive daemon and engine`, async (t) => {
    const seen = await daemonTrip(t, kind, environment, standInMappings)
    t.equal(seen.length, 3)
  })
}

void t.test('what is handed in wrongly is refused by reason, and nothing stays mapped', async (t) => {
  const daemon = await daemonOnGpu(t, shortFolder(t), environment)
  const engine = await GpuEngine.start(t, environment, 'handles')
  const peer = await WirePeer.attached(daemon.socket)
  const token = () => new Uint8Array(randomBytes(16))
  const wanted = deviceRegion
  const plain = token()
  loadNative().handDescriptor(daemon.door, plain, openSync(process.execPath, 'r'))
  t.match(
    await peer.refusal('attachRegion', { ...wanted, token: plain }),
    /KVT_REGION_BAD.*no list of 1 to 4096 parts/,
  )
  const short = token()
  await engine.handIn(daemon.door, short)
  const fewer = { ...wanted, byteCount: deviceRegion.byteCount - 1, token: short }
  t.match(
    await peer.refusal('attachRegion', fewer),
    /KVT_REGION_BAD.*the parts have 67108864 bytes, not 67108863/,
  )
  t.match(await peer.refusal('attachRegion', { ...wanted, token: token() }), /KVT_REGION_BAD.*no descriptor/)
  t.match(
    await peer.refusal('attachRegion', { ...wanted, kind: 'pool', token: token() }),
    /KVT_REGION_BAD.*"pool"/,
  )
  t.equal(standInMappings(daemon.pid), 0)
  const dead = token()
  await engine.handIn(daemon.door, dead)
  await engine.kill()
  t.match(
    await peer.refusal('attachRegion', { ...wanted, token: dead }),
    /KVT_REGION_BAD.*parts\[0\]\.handle/,
  )
  t.equal(standInMappings(daemon.pid), 0)
  t.same(await peer.value('ping', {}), {})
  await peer.close()
  t.equal(await daemon.stop(), 0)
})

void t.test('without a GPU the daemon says so, and goes on', async (t) => {
  const daemon = await daemonOnGpu(t, shortFolder(t), { TERRACE_CUDA_LIBRARY: '/nowhere/libcuda.so.1' })
  const engine = await GpuEngine.start(t, environment, 'handles')
  const peer = await WirePeer.attached(daemon.socket)
  const token = new Uint8Array(randomBytes(16))
  await engine.handIn(daemon.door, token)
  const refusal = await peer.refusal('attachRegion', { ...deviceRegion, token })
  t.match(refusal, /KVT_REGION_BAD.*no CUDA driver/)
  t.match(await peer.value('openNamespace', namespaceOnGpu()), {
    blockBytes: GpuEngine.tensors * GpuEngine.pieceBytes,
  })
  await peer.close()
  t.equal(await daemon.stop(), 0)
})
