import { checksOf } from './check.ts'

const parts = checksOf('test/unit/router-parts.test.ts', [
  [
    'health: one failed look puts a worker out',
    'router/health.ts',
    'const failuresUntilOut = 2',
    'const failuresUntilOut = 1',
  ],
  [
    'health: failures are never forgotten',
    'router/health.ts',
    "{ at: 'serving', failures: 0 }",
    "{ at: 'serving', failures: health.failures }",
  ],
  ['load: a request that ends twice counts twice', 'router/load.ts', '      if (!open) return\n', ''],
  ['load: a prefill that ended twice counts twice', 'router/load.ts', '      if (!waiting) return\n', ''],
  [
    'prefill rate: short prompts teach it',
    'router/load.ts',
    'if (tokens < learnTokensMin || !(seconds > 0)) return',
    'if (!(seconds > 0)) return',
  ],
  ['events: a batch of another life is applied', 'router/cursor.ts', 'batch.epoch !== cursor.epoch || ', ''],
  [
    'events: a gap is not noticed',
    'router/cursor.ts',
    "return batch.sequence === cursor.sequence + 1 ? 'next' : 'gap'",
    "return 'next'",
  ],
  [
    'event streams: a line that is cut in two is two lines',
    'router/event-stream.ts',
    'const line = this.#pieces.length === 0 ? end : `',
    'const line = this.#pieces.length >= 0 ? end : `',
  ],
  [
    'event streams: a message without end is kept for ever',
    'router/event-stream.ts',
    'return this.#pieceBytes + this.#dataBytes > eventMessageBytesMax ? null : messages',
    'return messages',
  ],
  [
    'usage: cached tokens of the header are not added up',
    'router/usage.ts',
    "sum += Number(part.slice(part.indexOf('=') + 1))",
    "sum = Number(part.slice(part.indexOf('=') + 1))",
  ],
  [
    'usage: what was read from a cache is not part of the prompt',
    'router/usage.ts',
    '{ promptTokens: input + read, cachedTokens: cached ?? read }',
    '{ promptTokens: input, cachedTokens: cached ?? read }',
  ],
  [
    'prompt names: more blocks than the prompt has are believed',
    'router/prompt-names.ts',
    '  if (hashes.length * blockTokens > tokenCount) return null\n',
    '',
  ],
  [
    'headers: a client may say whose tenant it is',
    'router/steering.ts',
    "const droppedHeaderStarts = ['x-terrace-', ",
    'const droppedHeaderStarts = [',
  ],
  [
    'headers: a worker may say which worker it was',
    'router/steering.ts',
    "  'x-terrace-worker',\n  'x-terrace-explain',\n",
    "  'x-terrace-explain',\n",
  ],
  [
    'headers: the client’s key goes on to the worker',
    'router/steering.ts',
    '    if (keysAreOurs && keyHeaders.has(lower)) continue\n',
    '',
  ],
  [
    'keys: a rate does not fill again',
    'router/tenant.ts',
    '((nowMs - bucket.atMs) / 60_000) * perMinute)',
    '0 * perMinute)',
  ],
])

const prices = checksOf('test/unit/router-score.test.ts', [
  [
    'score: the queue is free',
    'router/score.ts',
    'const queueSeconds = facts.waitingTokens / rate',
    'const queueSeconds = 0',
  ],
  [
    'score: everything that could be loaded is loaded',
    'router/score.ts',
    'if (priceOf(cut, rate) < priceOf(best, rate)) best = cut',
    'best = cut',
  ],
  [
    'score: nothing is ever loaded',
    'router/score.ts',
    'if (priceOf(cut, rate) < priceOf(best, rate)) best = cut',
    'void cut',
  ],
  [
    'score: affinity makes a worker dearer',
    'router/score.ts',
    '+ decodeSeconds - affinitySeconds,',
    '+ decodeSeconds + affinitySeconds,',
  ],
  [
    'affinity: tenants share their homes',
    'router/affinity.ts',
    '  for (const worker of workers) {',
    "  tenant = ''\n  for (const worker of workers) {",
  ],
])

const config = checksOf('test/unit/router-config.test.ts', [
  [
    'config: open to other machines without keys',
    'router/config.ts',
    'if (keys === null && !isLoopback(raw.host)) {',
    'if (keys === null && raw.host === "") {',
  ],
  [
    'config: a short admin token is taken',
    'router/config.ts',
    'if (adminToken !== null && adminToken.length < adminTokenLengthMin) {',
    'if (adminToken === "") {',
  ],
  [
    'config: two workers of one name are taken',
    'router/config.ts',
    "if (names.size < workers.length) throw bad('--worker: two workers have the same name')",
    '',
  ],
  [
    'config: the environment comes before the command line',
    'router/config.ts',
    'const sources = [given.values, optionsInEnvironment(routerFields, environment)]',
    'const sources = [given.values]',
  ],
  [
    'keys: two entries of one key are taken',
    'router/tenant.ts',
    'return keys.count === list.length\n',
    'return keys.count > 0\n',
  ],
])

const readme = checksOf('test/unit/router-readme.test.ts', [
  [
    'README: an option says another thing than the table',
    'router/config.ts',
    "about: 'Port for clients. 0 takes a free one and prints it.'",
    "about: 'Port for everybody. 0 takes a free one and prints it.'",
  ],
])

const openai = checksOf('test/e2e/router-openai.test.ts', [
  [
    'openai: the answer loses its last chunk',
    'router/relay.ts',
    '    this.#keepTail(chunk)\n    this.#sendHead()\n',
    "    this.#keepTail(chunk)\n    this.#sendHead()\n    if (chunk.includes('w4')) return\n",
  ],
  [
    'openai: every answer is a 200',
    'router/relay.ts',
    'this.#client.writeHead(this.#status, {',
    'this.#client.writeHead(200, {',
  ],
  [
    'openai: the body is sent as the router would write it',
    'router/forward.ts',
    '        body: request.body,\n',
    '        body: Buffer.from(JSON.stringify(JSON.parse(String(request.body)))),\n',
  ],
  [
    'openai: realised hits are not counted',
    'router/forward.ts',
    "parts.meter.add('terrace_router_realised_hit_tokens_total', { tenant }, cachedTokens ?? 0)",
    '',
  ],
])

const residency = checksOf('test/e2e/router-residency.test.ts', [
  [
    'residency: a hole does not end the prefix',
    'router/residency.ts',
    'if (tier === null) break\n',
    'if (tier === null) continue\n',
  ],
  [
    'residency: device blocks of any worker count',
    'router/residency.ts',
    "tier === 'hbm' ? owner === worker.name :",
    "tier === 'hbm' ? owner !== '' :",
  ],
  [
    'residency: tiers of a daemon that is away count',
    'router/residency.ts',
    "owner === '' && follower.connected",
    "owner === ''",
  ],
  [
    'residency: missing events are not healed',
    'router/follow.ts',
    "if (judged !== 'gap' && judged !== 'epoch') return",
    'if (batch.sequence >= 0) return',
  ],
  [
    'residency: where the prefix is does not matter',
    'router/score.ts',
    "const deviceBlocks = facts.runs[0]?.tier === 'hbm' ? facts.runs[0].blocks : 0",
    'const deviceBlocks = 0',
  ],
  [
    'residency: a conversation has no home',
    'router/place.ts',
    'affine: worker.name === affine,',
    'affine: false,',
  ],
])

const keys = checksOf('test/e2e/router-keys.test.ts', [
  [
    'keys: an unknown key is the default tenant',
    'router/tenant.ts',
    "      return { done: refuse('unauthenticated', 'invalid_api_key', 'the API key is not known') }",
    '      return { pass: defaultTenant }',
  ],
  [
    'keys: hints of everybody are passed on',
    'router/steering.ts',
    '(!hintsAllowed && hintFields.has(name))',
    'false',
  ],
  [
    'keys: everybody sees the explanation',
    'router/forward.ts',
    "request.tenant.explain ? { 'x-terrace-explain': termsText(terms) } : {}",
    "{ 'x-terrace-explain': termsText(terms) }",
  ],
  [
    'keys: a tenant past its rate is served',
    'router/tenant.ts',
    '    if (waitSeconds === 0) return { pass: tenant }',
    '    if (waitSeconds >= 0) return { pass: tenant }',
  ],
  [
    'keys: the admin port takes any token',
    'router/admin.ts',
    'return timingSafeEqual(given,',
    'return authorization !== undefined || timingSafeEqual(given,',
  ],
])

const admin = checksOf('test/e2e/router-admin.test.ts', [
  [
    'admin: a model is served by a worker that has another',
    'router/workers.ts',
    'worker.serving && worker.models.includes(model))',
    'worker.serving)',
  ],
  [
    'admin: a lease never ends',
    'router/workers.ts',
    'if (worker.leaseUntilMs === null || worker.leaseUntilMs > now) continue',
    'if (worker.leaseUntilMs === null || now > 0) continue',
  ],
  [
    'admin: any host name is answered',
    'router/admin.ts',
    'return /^(localhost|',
    'return host !== "" || /^(localhost|',
  ],
  [
    'admin: a worker may be any kind of address',
    'router/workers.ts',
    "if (url.protocol !== 'http:') return 'url: must start with http://'",
    '',
  ],
])

const daemon = checksOf('test/contract/router-daemon.test.ts', [
  [
    'router and daemon: what an engine held stays when it is gone',
    'daemon/session.ts',
    'this.#heldBlocks.replace(this.namespaceOf(number).holder, blocks, noBlocks, why)',
    'void [blocks, noBlocks, why, number]',
  ],
  [
    'router and daemon: two lives of a daemon have one epoch',
    'daemon/parts.ts',
    'const chance = Math.floor(world.random() * 2 ** 48)',
    "if (world !== null) return 'one'\n  const chance = Math.floor(world.random() * 2 ** 48)",
  ],
])

export const routerChecks = [
  ...[...parts, ...prices, ...config, ...readme],
  ...[...openai, ...residency, ...keys, ...admin, ...daemon],
]
