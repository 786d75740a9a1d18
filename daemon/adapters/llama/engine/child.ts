import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'

/** Ends the child with this process by its standard input: a shell holds the pipe, waits for its end and then kills. It
 *  listens for signals before the child exists, so that one that comes at once is not lost. */
const watchScript = [
  'exec 3<&0; child=; asked=',
  `trap 'asked=1; [ -z "$child" ] || kill -TERM $child 2>/dev/null' TERM INT`,
  '"$@" </dev/null 3<&- & child=$!',
  '[ -z "$asked" ] || kill -TERM $child',
  '( while read -r _; do :; done <&3; kill -KILL $child 2>/dev/null ) & watcher=$!',
  'wait $child; code=$?',
  'while kill -0 $child 2>/dev/null; do wait $child; code=$?; done',
  'kill -KILL $watcher 2>/dev/null; exit $code',
].join('\n')

/** How a child is tied to this process's life. `signal`: the kernel kills it when we die (setpriv, same process id).
 *  `pipe`: a shell in between does, where setpriv is missing. */
export type Tie = 'signal' | 'pipe'

let known: Tie | undefined

/** The better of the two ties that this machine has; found out once. */
export function tieHere(): Tie {
  known ??=
    spawnSync('setpriv', ['--pdeathsig', 'KILL', 'true'], { stdio: 'ignore' }).status === 0
      ? 'signal'
      : 'pipe'
  return known
}

/** Starts a program that cannot outlive this process, not even its kill -9. Output goes to the end of a log file. */
export function startTied(
  binary: string,
  args: readonly string[],
  folder: string,
  logFile: string,
  tie: Tie,
): ChildProcess {
  const log = openSync(logFile, 'a', 0o600)
  const program =
    tie === 'signal'
      ? ['setpriv', '--pdeathsig', 'KILL', binary, ...args]
      : ['sh', '-c', watchScript, 'sh', binary, ...args]
  const [command = '', ...rest] = program
  try {
    return spawn(command, rest, {
      stdio: [tie === 'signal' ? 'ignore' : 'pipe', log, log],
      ...(folder === '' ? {} : { cwd: folder }),
    })
  } finally {
    closeSync(log)
  }
}
