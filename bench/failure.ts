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

/** What the system's codes mean to a person. */
const systemReasons: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or folder',
  ENOTDIR: 'a part of the path is no folder',
  EISDIR: 'it is a folder',
  EACCES: 'no permission',
  EPERM: 'no permission',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the quota is used up',
  EMFILE: 'too many open files',
  EADDRINUSE: 'the port is in use',
}

/** The text of any thrown value, for messages. */
export function reasonOf(thrown: unknown): string {
  const code = (thrown as { readonly code?: unknown } | null)?.code
  const known = typeof code === 'string' ? systemReasons[code] : undefined
  return known ?? (thrown instanceof Error ? thrown.message : String(thrown))
}
