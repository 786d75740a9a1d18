import fc from 'fast-check'
import t from 'tap'
import { membersOf } from '../../router/members.ts'
import { repeatedField, steeringFields, withoutSteering } from '../../router/steering.ts'

const names = fc.oneof(fc.string(), fc.constantFrom(...steeringFields, 'model', 'messages', '__proto__'))
const object = fc.dictionary(names, fc.jsonValue({ maxDepth: 4 }), { maxKeys: 6, noNullPrototype: true })

/** What a strict parser makes of the bytes, or undefined. */
function parsed(body: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(body.toString('utf8'))
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}

/** The members as a parser that takes the last of equals would have them. */
function rebuilt(body: Buffer): Record<string, unknown> | null {
  const scanned = membersOf(body)
  if (scanned.as === 'refused') return null
  const entries = scanned.members.map(({ name, valueStart, end }): [string, unknown] => [
    name,
    JSON.parse(body.toString('utf8', valueStart, end)) as unknown,
  ])
  return Object.fromEntries(entries)
}

void t.test('whatever a strict parser takes, the scanner sees the same members', (t) => {
  fc.assert(
    fc.property(object, fc.boolean(), (value, spaced) => {
      const body = Buffer.from(JSON.stringify(value, null, spaced ? '\t' : undefined))
      t.same(rebuilt(body), parsed(body))
    }),
    { numRuns: 2_000 },
  )
  t.end()
})

void t.test('after stripping, no steering field is left, and everything else is as it was', (t) => {
  fc.assert(
    fc.property(object, fc.boolean(), (value, hints) => {
      const body = Buffer.from(JSON.stringify(value))
      const scanned = membersOf(body)
      if (scanned.as === 'refused') return false
      if (repeatedField(scanned.members) !== null) return false
      const stripped = withoutSteering(body, scanned.members, hints)
      const left = parsed(stripped.body)
      const expected = Object.fromEntries(
        Object.entries(parsed(body) ?? {}).filter(([name]) => !stripped.dropped.includes(name)),
      )
      return (
        left !== undefined &&
        JSON.stringify(left) === JSON.stringify(expected) &&
        Object.keys(left).every((name) => !steeringFields.has(name)) &&
        (stripped.dropped.length > 0 || stripped.body === body)
      )
    }),
    { numRuns: 2_000 },
  )
  t.pass('2,000 objects')
  t.end()
})

void t.test('100,000 damaged bodies: refused or seen as a strict parser sees them, never thrown', (t) => {
  const base = Buffer.from(
    '{"model":"m","messages":[{"role":"user","content":"a \\"quoted\\" \\\\ text"}],"id_slot":1,"n":-1.5e3,"x":{"y":[null,true]}}',
  )
  const pieces = [
    '"',
    '\\',
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    ' ',
    '"id_slot":1',
    '\\u0000',
    'é',
    '/*',
    "'",
    '\0',
  ]
  let seed = 7
  const chance = (below: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
    return (seed >>> 8) % below
  }
  let taken = 0
  for (let i = 0; i < 100_000; i++) {
    const at = chance(base.length)
    const cut = chance(4) === 0 ? chance(6) : 0
    const put = Buffer.from(chance(2) === 0 ? (pieces[chance(pieces.length)] ?? '') : '')
    const body = Buffer.concat([
      base.subarray(0, at),
      put,
      base.subarray(at + cut + (put.length === 0 ? 1 : 0)),
    ])
    const strict = parsed(body)
    const scanned = membersOf(body)
    if (strict === undefined) continue
    taken += 1
    if (scanned.as === 'refused') {
      t.fail(`refused what is JSON: ${body.toString()}`)
      continue
    }
    const seen = rebuilt(body)
    if (JSON.stringify(seen) !== JSON.stringify(strict)) t.fail(`seen otherwise: ${body.toString()}`)
  }
  t.ok(taken > 1_000, `${taken} were still JSON`)
  t.end()
})

void t.test('a hostile 8 MiB of escapes and a deep nest cost no more than a look', (t) => {
  const escapes = Buffer.from(`{"model":"${'\\"'.repeat(4 * 2 ** 20)}"}`)
  t.equal(membersOf(escapes).as, 'members')
  const deep = Buffer.from(`{"x":${'[{"a":'.repeat(50_000)}1${'}]'.repeat(50_000)}}`)
  t.match(membersOf(deep), { as: 'refused', why: /deeper than 64/ })
  t.equal(membersOf(Buffer.from(`{"x":${'['.repeat(63)}${']'.repeat(63)}}`)).as, 'members')
  t.equal(membersOf(Buffer.from(`{"x":${'['.repeat(64)}${']'.repeat(64)}}`)).as, 'refused')
  t.end()
})
