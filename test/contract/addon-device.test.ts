import t from 'tap'
import { gpuCheck, standInDriver } from '../servers/stand-in-gpu.ts'

const driver = standInDriver(t)
const environment = { TERRACE_CUDA_LIBRARY: driver }

const drivers: readonly { readonly what: string; readonly version: string; readonly refused?: string }[] = [
  { what: 'a driver of 13.0', version: '13000' },
  { what: 'one newer than this interface', version: '14020' },
  { what: 'one of 12.8, whose batches have an argument more', version: '12080' },
  { what: 'one without batches', version: '12010' },
  { what: 'one that takes no kernel', version: '13000', refused: 'cuModuleLoadData:218' },
  { what: 'one that pins no memory', version: '13000', refused: 'cuMemHostRegister:1' },
]
for (const { what, version, refused } of drivers) {
  void t.test(`blocks go to and from a GPU to the bit: ${what}`, async (t) => {
    const ran = gpuCheck('check_copies.py', {
      ...environment,
      STAND_IN_CUDA_VERSION: version,
      ...(refused === undefined ? {} : { STAND_IN_CUDA_FAIL: refused }),
      PIN: refused?.startsWith('cuMemHostRegister') === true ? 'refused' : 'wanted',
    })
    t.match(ran.text, /allocations that touch: [1-9]/)
    t.match(ran.text, /copies: 90 combinations .* are equal to the bit/)
    t.equal(ran.code, 0)
  })
}

const failing: readonly { readonly call: string; readonly says: RegExp }[] = [
  { call: 'cuMemcpyAsync:700', says: /gather of block \d+: status -5/ },
  { call: 'cuMemcpy2DAsync:1', says: /outermost.*gather of block \d+: status -22/ },
  { call: 'cuMemcpyBatchAsync:2', says: /batch.*gather of block \d+: status -12/ },
  { call: 'cuLaunchKernel:719', says: /tensor per layer.*gather of block \d+: status -5/ },
  { call: 'cuEventRecord:700', says: /copies: 90/ },
  { call: 'work:700', says: /gather of block \d+: status -5/ },
  { call: 'cuStreamCreateWithPriority:2', says: /status -5/ },
  {
    call: 'cuDevicePrimaryCtxRetain:101',
    says: /cannot be used: the CUDA driver says CUDA_ERROR \(101\)|Retain: 101/,
  },
  { call: 'cuMemGetAddressRange:1', says: /address: it has no handle: the CUDA driver says/ },
]
for (const { call, says } of failing) {
  void t.test(`a driver that refuses ${call} is told, and nothing hangs`, async (t) => {
    const ran = gpuCheck('check_copies.py', { ...environment, STAND_IN_CUDA_FAIL: call })
    t.match(ran.text, says)
  })
}

void t.test('two processes: attach by handle and descriptor, kill -9 of either side', async (t) => {
  const ran = gpuCheck('check_attach.py', environment)
  t.match(ran.text, /a handle of one's own process: refused/)
  t.equal(ran.text.match(/64 MiB held until the region is closed, 0 after/g)?.length, 3)
  t.match(
    ran.text,
    /daemon killed under copies: the engine's memory is as it was, and the next daemon attaches/,
  )
  t.equal(ran.code, 0)
})

void t.test('what cannot be right is refused in words', async (t) => {
  const ran = gpuCheck('check_refusals.py', environment)
  t.equal(ran.text, 'refusals: each in words, nothing touched\n')
})

void t.test('memory that was not made to be shared is refused in words', async (t) => {
  const ran = gpuCheck('check_attach.py', { ...environment, STAND_IN_CUDA_PRIVATE: '1' })
  t.match(ran.text, /was not made to be shared/)
  t.not(ran.code, 0)
})
