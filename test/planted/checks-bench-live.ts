import { checksOf } from './check.ts'

const findLoad = checksOf('test/unit/bench-find-load.test.ts', [
  [
    'find-load: a session that a step cuts is lost',
    'bench/replay/drive.ts',
    'queue.putBack(session.slice(await sendSession(session, think, drive)))',
    'await sendSession(session, think, drive)',
  ],
  [
    'find-load: a load that was not held counts',
    'bench/replay/find-load.ts',
    '(this.#isShort || this.#hits.length < stepRequestsMin)',
    'this.#hits.length < stepRequestsMin',
  ],
  ['find-load: the gap is not halved', 'bench/replay/load-search.ts', 'Math.sqrt(good * bad)', 'bad * 0.99'],
  [
    'find-load: a client’s limit looks at one of its two numbers',
    'bench/replay/pace.ts',
    'Math.max(this.#msPerRequest, tokens * this.#msPerToken)',
    'this.#msPerRequest',
  ],
])

const foreign = checksOf('test/contract/bench-foreign.test.ts', [
  [
    'kv-events: copies in lower tiers are requests',
    'bench/trace/kvevents.ts',
    "stored.medium !== 'GPU'",
    'false',
  ],
  ['kv-events: further layer groups are requests', 'bench/trace/kvevents.ts', 'stored.group > 0', 'false'],
  [
    'kv-events: every stored piece is a request',
    'bench/trace/kvevents.ts',
    'atMs - open.lastMs <= growMs',
    'false',
  ],
  ['kv-events: the medium of a list stands elsewhere', 'bench/trace/kvevents.ts', 'medium: 6', 'medium: 5'],
])

const cli = checksOf('test/unit/bench-cli.test.ts', [
  ['bench: files to write are not looked at first', 'bench/main.ts', 'checkTargets(parsed.options)', ''],
  [
    'bench: what Ctrl-C cut keeps the name of a whole trace',
    'bench/trace/write.ts',
    'if (stop.aborted) throw new Interrupted()',
    'if (stop.aborted) break',
  ],
  [
    'bench: requests without a tenant have no cache',
    'bench/simulate/tenants.ts',
    'return told < 0 ? tenantNames.length : told',
    'return told',
  ],
  [
    'bench: names from a trace reach the terminal as they are',
    'bench/report/terminal.ts',
    "text.replace(/\\p{Cc}/gu, '\\ufffd')",
    'text',
  ],
  [
    'bench: notes that cannot be written end the run',
    'bench/io.ts',
    "process.stderr.on('error', () => undefined)",
    '',
  ],
])

/** Breaks of what the bench reads from others, drives live, and writes. */
export const benchLiveChecks = [...findLoad, ...foreign, ...cli]
