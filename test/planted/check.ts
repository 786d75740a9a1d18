import type { Change } from './bugs.ts'

/** A break of the product, and the test that must notice. */
export type Check = {
  readonly name: string
  readonly test: string
  /** Names of the subtests to run, outermost first; all when absent. */
  readonly only?: readonly string[]
  readonly changes: readonly Change[]
}

/** Breaks that one test must notice: each is a name, and one change of text. */
export function checksOf(
  test: string,
  breaks: readonly (readonly [name: string, file: string, from: string, to: string])[],
  only?: readonly string[],
): readonly Check[] {
  const part = only === undefined ? {} : { only }
  return breaks.map(([name, file, from, to]) => ({ name, test, ...part, changes: [{ file, from, to }] }))
}
