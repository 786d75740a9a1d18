import t from 'tap'
import { shortFolder, smallDaemon, startDaemonProcess } from '../servers/daemon-process.ts'
import { startMockEngine } from '../servers/mock-engine.ts'
import { startRouter, until } from '../servers/router-process.ts'
import { smallNamespace, tokensOf, WirePeer } from '../servers/wire-peer.ts'

// Processes are started one after another; a busy machine takes its time.
t.setTimeout(120_000)

const blockTokens = 4
const ask = { path: '/v1/chat/completions', body: { model: 'model-1', messages: [] } }

type Candidate = {
  readonly worker: string
  readonly deviceBlocks: number
  readonly whyNoOverlap: string | null
}

void t.test('a router follows a real daemon: what its engines hold, under the names it gives', async (t) => {
  const folder = shortFolder(t)
  const tokens = tokensOf(40)
  const first = await startDaemonProcess(t, smallDaemon(folder))
  let peer = await WirePeer.attached(first.socket, 'a')
  const named = async (from: WirePeer) => {
    const { namespace } = await from.value('openNamespace', smallNamespace())
    const names = await from.value('name', { namespace, tokens })
    return { namespace, names }
  }
  const { namespace, names } = await named(peer)
  const answer = {
    tokenCount: tokens.length,
    blockTokens: names.blockTokens,
    scheme: names.scheme,
    hashes: names.hashes.map((hash) => Buffer.from(hash).toString('hex')),
  }
  t.equal(answer.hashes.length, tokens.length / blockTokens)
  const a = await startMockEngine('a', { model: 'model-1', names: () => answer })
  const b = await startMockEngine('b', { model: 'model-1', names: () => answer })
  const router = await startRouter([a, b], ['--daemon', first.adminUrl])
  t.teardown(async () => {
    await router.stop('SIGKILL')
    await Promise.all([a.close(), b.close()])
  })
  const candidates = async (): Promise<readonly Candidate[]> => {
    const explained = await fetch(`${router.adminUrl}/explain`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(ask),
    })
    return ((await explained.json()) as { readonly candidates: readonly Candidate[] }).candidates
  }
  const deviceBlocks = async (worker: string): Promise<number> =>
    (await candidates()).find((entry) => entry.worker === worker)?.deviceBlocks ?? -1

  await peer.value('held', { namespace, prefixes: [tokens.subarray(0, 5 * blockTokens)] })
  await until(async () => (await deviceBlocks('a')) === 5, 'a holds five blocks')
  t.equal(await deviceBlocks('b'), 0)
  await peer.value('held', { namespace, prefixes: [tokens] })
  await until(async () => (await deviceBlocks('a')) === 10, 'and then all ten')
  t.equal((await candidates())[0]?.worker, 'a')
  await peer.close()
  await until(async () => (await deviceBlocks('a')) === 0, 'an engine that is gone holds nothing')

  // The same address, another life: what the router knew of the old one must not count.
  peer = await WirePeer.attached(first.socket, 'a')
  await peer.value('held', { namespace: (await named(peer)).namespace, prefixes: [tokens] })
  await until(async () => (await deviceBlocks('a')) === 10, 'held again')
  const epochOf = async (url: string): Promise<unknown> =>
    ((await (await fetch(`${url}/snapshot`)).json()) as { readonly epoch: unknown }).epoch
  const firstEpoch = await epochOf(first.adminUrl)
  await first.stop('SIGKILL')
  const second = await startDaemonProcess(t, [
    ...smallDaemon(folder),
    '--admin-port',
    String(first.adminPort),
  ])
  await until(async () => (await deviceBlocks('a')) === 0, 'nothing of the old life')
  t.not(await epochOf(second.adminUrl), firstEpoch, 'numbers of one life say nothing in another')
  const again = await WirePeer.attached(second.socket, 'b')
  await again.value('held', { namespace: (await named(again)).namespace, prefixes: [tokens] })
  await until(async () => (await deviceBlocks('b')) === 10, 'the new life is followed')
  const status = await (await fetch(`${router.adminUrl}/status`)).json()
  t.match(status, { index: { daemons: [{ connected: true, scheme: names.scheme }] } })
  await until(async () => {
    const now = (await (await fetch(`${router.adminUrl}/status`)).json()) as {
      readonly index: { readonly daemons: readonly { readonly workers: readonly string[] }[] }
    }
    return now.index.daemons[0]?.workers.includes('b') === true
  }, 'the status names the workers of the node')
  await again.close()
})
