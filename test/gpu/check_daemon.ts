/** The real daemon with a real GPU: `node test/gpu/check_daemon.ts`. It needs Node and the daemon's packages; `run.sh` does without. */
import { daemonTrip } from '../servers/daemon-trip.ts'

// A daemon of the tests starts with nothing of this process's environment but what it is given.
const names = ['TERRACE_CUDA_LIBRARY', 'LD_LIBRARY_PATH', 'NODE_OPTIONS']
const environment = Object.fromEntries(
  names.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
)

const ends: (() => void | Promise<void>)[] = []
const t = { teardown: (run: () => void | Promise<void>) => void ends.push(run) }
try {
  for (const kind of ['handles', 'descriptors'] as const) {
    for (const line of await daemonTrip(t, kind, environment, null))
      console.log(`daemon, ${line}: equal to the bit`)
  }
} finally {
  for (const end of ends.reverse()) await end()
}
