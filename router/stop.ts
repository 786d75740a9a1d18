type StopWhy = 'SIGINT' | 'SIGTERM' | 'parent_gone'

/** Resolves when the process is asked to stop. A second signal ends it at once. */
export function stopAsked(parentPipe: boolean): Promise<StopWhy> {
  return new Promise((resolve) => {
    let asked = false
    const onSignal = (why: StopWhy): void => {
      if (asked) process.exit(130)
      asked = true
      resolve(why)
    }
    process.on('SIGINT', () => onSignal('SIGINT'))
    process.on('SIGTERM', () => onSignal('SIGTERM'))
    if (!parentPipe) return
    process.stdin.on('end', () => resolve('parent_gone'))
    process.stdin.on('error', () => resolve('parent_gone'))
    process.stdin.resume()
  })
}
