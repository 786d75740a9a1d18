/** The short name of what a system call refused (ENOSPC), or the message's first words where there is none. */
export function errnoOf(error: unknown): string {
  if (error instanceof Error) {
    const code = (error as NodeJS.ErrnoException).code
    return typeof code === 'string' ? code : error.message.slice(0, 200)
  }
  return 'unknown'
}
