import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'

/** Any user but root. */
const otherUser = '65534'
const checkout = resolve(import.meta.dirname, '../..')

type OrdinaryUser = { readonly lead: readonly string[]; readonly locked: string; readonly open: string }

/** Words before a command that make file modes count for it: none for an ordinary user, another user for root, and root without
 *  its right to pass over modes where that other user cannot read this checkout. Null where none of it is permitted.
 *  `folder` gets two folders: one that the command may not write to, and one where it may. */
export function ordinaryUser(folder: string): OrdinaryUser | null {
  const open = join(folder, 'open')
  mkdirSync(open)
  chmodSync(open, 0o1777)
  const locked = join(folder, 'locked')
  mkdirSync(locked)
  chmodSync(locked, 0o555)
  chmodSync(folder, 0o755)
  const rights = '-dac_override,-dac_read_search'
  const ways =
    process.geteuid?.() === 0
      ? [
          ['setpriv', '--reuid', otherUser, '--regid', otherUser, '--clear-groups'],
          ['setpriv', '--bounding-set', rights, '--inh-caps', rights],
        ]
      : [[]]
  for (const way of ways) {
    // Another user's process may not write where the test runner's hooks keep their notes: it runs without them.
    const lead = [...way, 'env', '-u', 'NODE_OPTIONS']
    const [command = '', ...rest] = [...lead, process.execPath, '-e', probe, checkout, locked]
    if (spawnSync(command, rest, { timeout: 20_000 }).status === 0) return { lead, locked, open }
  }
  return null
}

/** Ends with 0 when it can read the program and cannot write to the locked folder. */
const probe = `
const { mkdirSync, readFileSync } = require('node:fs')
readFileSync(process.argv[1] + '/terrace.ts')
try { mkdirSync(process.argv[2] + '/probe') } catch (error) { process.exit(error.code === 'EACCES' ? 0 : 1) }
process.exit(1)`
