import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import t from 'tap'

void t.test('a slab that may not grow: one sentence, and nothing half-made stays', async (t) => {
  const directory = t.testdir()
  const rig = new URL('../crash/store-rig.ts', import.meta.url).href
  const program = `const { openRig } = await import(${JSON.stringify(rig)})
    await openRig(${JSON.stringify(directory)}).catch((error) => { console.log(error.code, error.message) })
    process.exit(0)`
  const shell = `ulimit -f 12288; exec "${process.execPath}" --input-type=module -e '${program.replaceAll("'", '"')}'`
  const child = spawnSync('bash', ['-c', shell], { encoding: 'utf8', timeout: 30_000 })
  t.match(child.stdout, /^KVT_DISK_FULL .*smaller --nvme-bytes/, child.stderr)
  t.same(readdirSync(directory), [])
})
