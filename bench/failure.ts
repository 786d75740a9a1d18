/** The command line is wrong: unknown word, missing value, contradiction. Ends with exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** What was read cannot be used: a broken line, a truncated file, an unknown format, a dead endpoint.
 *  Ends with exit code 1. The message names the file and line and says what was expected. */
export class InputError extends Error {
  override readonly name = 'InputError'
}

/** The user pressed Ctrl-C before anything could be reported. Ends with exit code 130. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted'
  constructor() {
    super('interrupted')
  }
}

/** The text of any thrown value, for messages. */
export function reasonOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}
