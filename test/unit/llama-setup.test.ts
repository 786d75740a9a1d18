import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { deflateRawSync } from 'node:zlib'
import t from 'tap'
import { jobCount } from '../../daemon/adapters/llama/build/compile.ts'
import { ensureLlamaServer } from '../../daemon/adapters/llama/build/ensure.ts'
import { engineArguments, threadShare } from '../../daemon/adapters/llama/engine/arguments.ts'
import { withLock } from '../../daemon/adapters/llama/fetch/lock.ts'
import { type Progress, SetupProblem } from '../../daemon/adapters/llama/fetch/problem.ts'
import { makeOnce } from '../../daemon/adapters/llama/fetch/stage.ts'
import { runTool } from '../../daemon/adapters/llama/fetch/tool.ts'
import { checkModelFile } from '../../daemon/adapters/llama/model/ensure.ts'
import { takeMember } from '../../daemon/adapters/llama/model/zip.ts'
import { engineConfig } from '../../daemon/adapters/llama/options.ts'
import { realWorld } from '../../tiers/block/clock.ts'
import { KvFailure } from '../../tiers/block/failures.ts'

const sleep = (ms: number): Promise<void> => realWorld.sleep(ms)
const quiet = (): void => undefined

async function problemOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
    return 'no problem'
  } catch (error) {
    if (error instanceof SetupProblem) return error.message
    throw error
  }
}

void t.test('a missing tool is named with the command that brings it', async (t) => {
  const path = process.env.PATH
  t.teardown(() => {
    process.env.PATH = path
  })
  const empty = t.testdir()
  for (const tool of ['g++', 'git', 'npm', 'python3']) {
    const told = await problemOf(runTool(tool, [], { purpose: 'build it', environment: { PATH: empty } }))
    t.match(told, `${tool} is not on this machine and is needed to build it; bring it with: apt-get install`)
  }
  const failed = await problemOf(runTool('sh', ['-c', 'echo fatal: disk >&2; exit 3'], { purpose: 'copy' }))
  t.equal(failed, 'could not copy: sh ended with exit code 3: fatal: disk')
})

void t.test('a folder is made once, by one of many, and appears whole', async (t) => {
  const parent = t.testdir()
  let made = 0
  const steps: Progress[] = []
  const once = (): Promise<string> =>
    makeOnce({
      parent,
      name: 'thing-1',
      sleep,
      onProgress: (progress) => steps.push(progress),
      make: async (_, result) => {
        made += 1
        writeFileSync(join(result, 'a'), 'a')
        t.notOk(readdirSync(parent).includes('thing-1'), 'not there before it is whole')
        await sleep(30)
        writeFileSync(join(result, 'b'), 'b')
      },
    })
  const paths = await Promise.all([once(), once(), once()])
  t.same(new Set(paths), new Set([join(parent, 'thing-1')]))
  t.equal(made, 1)
  t.same(readdirSync(parent), ['thing-1'], 'no lock, no work folder stays')
  t.same(readdirSync(join(parent, 'thing-1')), ['a', 'b'])
  t.ok(
    steps.some(({ step }) => step.includes(String(process.pid))),
    'who waits is told for whom',
  )
})

void t.test('what a failed run has made is there for the next one, and nothing else', async (t) => {
  const parent = t.testdir()
  const once = (fail: boolean): Promise<string> =>
    makeOnce({
      parent,
      name: 'thing-2',
      sleep,
      onProgress: quiet,
      make: async (work, result) => {
        t.same(readdirSync(result), [], 'the result begins empty')
        writeFileSync(join(result, 'half'), '')
        if (fail) {
          writeFileSync(join(work, 'fetched'), 'kept')
          throw new SetupProblem('cut')
        }
        t.equal(readFileSync(join(work, 'fetched'), 'utf8'), 'kept')
      },
    })
  t.equal(await problemOf(once(true)), 'cut')
  t.notOk(readdirSync(parent).includes('thing-2'))
  await once(false)
  t.same(readdirSync(parent), ['thing-2'])
})

void t.test('the lock of a dead process is taken over, also when its id lives again', async (t) => {
  const lock = join(t.testdir(), 'lock')
  for (const holder of ['999999999 1', `${process.pid} 1`]) {
    writeFileSync(lock, holder)
    t.equal(await withLock(lock, sleep, quiet, async () => readFileSync(lock, 'utf8') !== holder), true)
  }
})

void t.test('compilers at once: bounded by cores and by memory, at least one', (t) => {
  t.equal(jobCount(8, 64 * 2 ** 30), 8)
  t.equal(jobCount(8, 1_500 * 2 ** 20), 2)
  t.equal(jobCount(8, 2 ** 20), 1)
  t.same([threadShare(8, 2), threadShare(8, 3), threadShare(1, 4)], [4, 2, 1])
  t.end()
})

void t.test('a llama-server of the user’s is asked for its version', async (t) => {
  const directory = t.testdir()
  const program = (name: string, text: string): string => {
    const path = join(directory, name)
    writeFileSync(path, `#!/bin/sh\n${text}\n`)
    chmodSync(path, 0o755)
    return path
  }
  const ensure = (given: string): ReturnType<typeof ensureLlamaServer> =>
    ensureLlamaServer({ cache: directory, given, sleep }, quiet)
  const words = '--slot-save-path --cache-ram --no-kv-unified --flash-attn --log-verbosity'
  const good = program('good', `echo "version: 9.9 (abc)" >&2; echo "${words}"`)
  const old = program('old', `echo "version: 1.0"; echo "${words.replace('--cache-ram', '')}"`)
  t.match(await problemOf(ensure(old)), /does not know --cache-ram; give a newer one/)
  t.match(await ensure(good), { binary: good, build: '9.9 (abc)', origin: 'given' })
  t.match(await problemOf(ensure(program('other', 'echo hello'))), /is not a llama-server/)
  t.match(await problemOf(ensure(program('broken', 'exit 127'))), /exit code 127/)
  t.match(await problemOf(ensure(join(directory, 'absent'))), /absent/)
})

void t.test('a model file is checked in one sentence', async (t) => {
  const directory = t.testdir({ 'foreign.bin': 'PK\x03\x04', 'good.gguf': 'GGUF....', short: 'GG' })
  mkdirSync(join(directory, 'folder'))
  const told = (name: string): Promise<string> => problemOf(checkModelFile(join(directory, name)))
  t.match(await told('absent.gguf'), /absent\.gguf does not exist; give the path/)
  t.match(await told('folder'), /is not a file/)
  t.match(await told('foreign.bin'), /is not in GGUF format/)
  t.match(await told('short'), /is not in GGUF format/)
  t.equal(await told('good.gguf'), 'no problem')
})

/** A zip file with one member, by hand. */
function zipOf(name: string, content: Buffer, method: 0 | 8): Buffer {
  const packed = method === 0 ? content : deflateRawSync(content)
  const local = Buffer.alloc(30)
  local.writeUInt32LE(0x04034b50, 0)
  local.writeUInt16LE(name.length, 26)
  const entry = Buffer.alloc(46)
  entry.writeUInt32LE(0x02014b50, 0)
  entry.writeUInt16LE(method, 10)
  entry.writeUInt32LE(packed.length, 20)
  entry.writeUInt32LE(content.length, 24)
  entry.writeUInt16LE(name.length, 28)
  const start = Buffer.concat([local, Buffer.from(name), packed])
  const directory = Buffer.concat([entry, Buffer.from(name)])
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50, 0)
  end.writeUInt32LE(directory.length, 12)
  end.writeUInt32LE(start.length, 16)
  return Buffer.concat([start, directory, end])
}

void t.test('one member is taken out of a zip file', async (t) => {
  const directory = t.testdir()
  const content = Buffer.from('the model '.repeat(9_999))
  for (const method of [0, 8] as const) {
    const zip = join(directory, `m${method}.zip`)
    writeFileSync(zip, zipOf('a/model.gguf', content, method))
    const target = join(directory, `out${method}`)
    await takeMember(zip, 'a/model.gguf', target, quiet)
    t.ok(readFileSync(target).equals(content))
    t.match(
      await problemOf(takeMember(zip, 'b', `${target}b`, quiet)),
      /is not a whole zip file with b in it/,
    )
  }
  const whole = zipOf('a', content, 0)
  for (const bad of [Buffer.alloc(0), whole.subarray(0, 50), whole.subarray(9)]) {
    const zip = join(directory, 'bad.zip')
    writeFileSync(zip, bad)
    t.match(await problemOf(takeMember(zip, 'a', join(directory, 'bad'), quiet)), /not a whole zip file/)
  }
})

void t.test('options: each mistake is one sentence', (t) => {
  const told = (...words: string[]): string => {
    try {
      engineConfig(words, {})
      return 'no problem'
    } catch (error) {
      if (error instanceof KvFailure) return error.message
      throw error
    }
  }
  t.match(told('--listen', 'nowhere'), /--listen: "nowhere" is not HOST:PORT/)
  t.match(told('--listen', '127.0.0.1:70000'), /HOST:PORT/)
  t.match(told('--url', 'http://127.0.0.1:1'), /--url needs --slots/)
  t.match(told('--url', 'http://127.0.0.1:1', '--slots', '/x', '--llama-server', '/y'), /give one of them/)
  t.match(told('--name', 'a b'), /--name/)
  t.match(told('--modle', 'x'), /did you mean --model/)
  t.match(engineConfig(['--listen', '[::1]:9001', '--threads', '3'], {}), {
    host: '::1',
    port: 9_001,
    threadCount: 3,
  })
  t.equal(engineConfig(['--help'], {}), null)
  t.end()
})

void t.test('the server listens on loopback, keeps no cache of its own and logs no prompts', (t) => {
  const server = { binary: 'x', folder: '', build: 'b', origin: 'given' } as const
  const options = {
    server,
    model: 'm',
    contextTokens: 100,
    slotCount: 3,
    threadCount: 2,
    slotFolder: 's',
    logFile: 'l',
  }
  const line = engineArguments({ ...options, alias: 'a' }, 77).join(' ')
  for (const part of ['--host 127.0.0.1 --port 77', '--ctx-size 300', '--parallel 3', '--cache-ram 0']) {
    t.ok(line.includes(part), part)
  }
  t.ok(line.includes('--log-verbosity 2'))
  t.end()
})
