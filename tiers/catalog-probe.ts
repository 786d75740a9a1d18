import { readWhole } from './catalog.ts'

/** Runs as a child process: reads a catalog from front to back, so that a damaged one ends this process and not the
 *  daemon. */
const path = process.argv[2]
if (path === undefined) process.exit(2)
readWhole(path)
process.exit(0)
