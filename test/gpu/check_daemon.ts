/** The real daemon with a real GPU: `node test/gpu/check_daemon.ts`. It needs Node and the daemon's packages; `run.sh` does without. */
import { daemonTrip } from '../servers/daemon-trip.ts'

const ends: (() => void | Promise<void>)[] = []
const t = { teardown: (run: () => void | Promise<void>) => void ends.push(run) }
try {
  for (const kind of ['handles', 'descriptors'] as const) {
    for (const line of await daemonTrip(t, kind, {}, null)) console.log(`daemon, ${line}: equal to the bit`)
  }
} finally {
  for (const end of ends.reverse()) await end()
}
