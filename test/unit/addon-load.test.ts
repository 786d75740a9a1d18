import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import t from 'tap'
import { addonFile } from '../../addon/load.ts'
import { abiVersion } from '../../addon/native.ts'
import { runChild } from '../addon-child.ts'

/** What loading `file` ends with, in a process of its own. */
async function loadingOf(file: string): Promise<string> {
  const child = await runChild(`console.log(native.abiVersion)`, [], { env: { TERRACE_ADDON_FILE: file } })
  return child.code === 0 ? child.stdout.trim() : (/KvFailure: (.*)/.exec(child.stderr)?.[1] ?? child.stderr)
}

const advice = ': run "sh .ci/setup", which builds it'

/** A shared object made of one C source. */
function built(directory: string, source: string): string {
  writeFileSync(join(directory, 'odd.c'), source)
  const file = join(directory, 'odd.node')
  execFileSync('gcc', ['-shared', '-fPIC', '-o', file, join(directory, 'odd.c')])
  return file
}

void t.test('a good file is tried once, then its stamp is believed', async (t) => {
  const file = join(t.testdir({}), 'terrace.node')
  copyFileSync(addonFile(), file)
  t.equal(await loadingOf(file), String(abiVersion))
  t.ok(existsSync(`${file}.loaded`))
  t.equal(await loadingOf(file), String(abiVersion))
})

void t.test('an absent file', async (t) => {
  const file = join(t.testdir({}), 'terrace.node')
  t.equal(await loadingOf(file), `the native addon cannot be loaded (${file} does not exist)${advice}`)
})

void t.test('a damaged file', async (t) => {
  const file = join(t.testdir({ 'terrace.node': 'not a program' }), 'terrace.node')
  t.match(await loadingOf(file), /cannot be loaded \(its trial load ended with status 1: Error: .*\): run/)
  t.notOk(existsSync(`${file}.loaded`))
})

void t.test('a file whose load kills the process', async (t) => {
  const file = built(
    t.testdir({}),
    '__attribute__((constructor)) static void end(void) { __builtin_trap(); }',
  )
  t.match(await loadingOf(file), /cannot be loaded \(its trial load ended with SIG(ILL|TRAP)\)/)
})

void t.test('a file of another version of the boundary', async (t) => {
  const headers = join(createRequire(import.meta.url).resolve('node-api-headers'), '..', 'include')
  const file = built(
    t.testdir({}),
    `#include "${headers}/node_api.h"
     NAPI_MODULE_INIT() {
       napi_value number;
       napi_create_uint32(env, 999, &number);
       napi_set_named_property(env, exports, "abiVersion", number);
       return exports;
     }`,
  )
  t.equal(
    await loadingOf(file),
    `the native addon cannot be loaded (${file} has version 999 of the boundary, this release wants ${abiVersion})${advice}`,
  )
})
