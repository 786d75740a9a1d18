import { Readable } from 'node:stream'
import t from 'tap'
import { Pace } from '../../tiers/s3/pace.ts'
import { drain, piecesOf, sentPieceBytes } from '../../tiers/s3/stream.ts'
import { SimWorld } from '../sim/world.ts'

/** The last guard of memory that has found another owner. Servers and sockets cannot be made to lose this race at will; a stream that
 *  goes on after its end can. */

function paceOf(): Pace {
  return new Pace(new SimWorld(1), { ms: 10_000, fault: 'caller' }, 'flowing')
}

/** A body that gives what it had on its way, whoever destroys it. */
class DeafBody extends Readable {
  readonly #chunks: readonly Uint8Array[]
  constructor(chunks: readonly Uint8Array[]) {
    super()
    this.#chunks = chunks
  }
  override async *[Symbol.asyncIterator](): NodeJS.AsyncIterator<Uint8Array> {
    yield* this.#chunks
  }
}

void t.test('a chunk that comes after the end of its request goes nowhere', async (t) => {
  const pace = paceOf()
  const body = new DeafBody([1, 2, 3, 4].map((byte) => Uint8Array.of(byte)))
  const taken: number[] = []
  await drain(
    body,
    {
      take: (chunk) => {
        taken.push(...chunk)
        if (taken.length === 2) pace.stop('the caller has gone', 'caller')
        return 'go_on'
      },
    },
    pace,
  )
  t.strictSame(taken, [1, 2])
  t.ok(body.destroyed, 'and the body is ended')
})

void t.test('a sink that has enough ends the body', async (t) => {
  const body = new DeafBody([Uint8Array.of(1), Uint8Array.of(2)])
  let taken = 0
  await drain(body, { take: () => (++taken > 0 ? 'enough' : 'go_on') }, paceOf())
  t.equal(taken, 1)
  t.ok(body.destroyed)
})

void t.test('nothing is taken from memory after the end of a request', (t) => {
  const pace = paceOf()
  const parts = [new Uint8Array(2 * sentPieceBytes + 1), new Uint8Array(10)]
  const pieces = piecesOf(parts, pace)
  t.equal(pieces.next().value?.length, sentPieceBytes)
  pace.stop('the tier is closing', 'caller')
  t.equal(pieces.next().done, true)
  const whole = [...piecesOf(parts, paceOf())].map(({ length }) => length)
  t.strictSame(whole, [sentPieceBytes, sentPieceBytes, 1, 10], 'and all of it before')
  t.end()
})
