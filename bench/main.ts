import { parseArguments } from './arguments.ts'
import type { BenchCommand } from './command.ts'
import { commands } from './commands/register.ts'
import { InputError, Interrupted, UsageError } from './failure.ts'
import { commandHelp, overview } from './help.ts'
import { type BenchIo, processIo } from './io.ts'
import { suggestion } from './nearest.ts'
import { checkTargets } from './targets.ts'

/** Runs `terrace bench` with the words after `bench`; answers the exit code: 0 good, 1 bad input or a failed
 *  comparison, 2 bad usage, 130 interrupted. */
export async function benchMain(argv: readonly string[], io?: BenchIo): Promise<number> {
  if (io !== undefined) return await dispatch(argv, io)
  const real = processIo()
  try {
    return await dispatch(argv, real.io)
  } finally {
    real.release()
  }
}

async function dispatch(argv: readonly string[], io: BenchIo): Promise<number> {
  const [word, ...rest] = argv
  try {
    if (word === undefined || word === '--help' || word === '-h' || word === 'help') return help(rest, io)
    const command = commandNamed(word)
    const parsed = parseArguments(command, rest)
    if (parsed.help) {
      io.out(commandHelp(command))
      return 0
    }
    checkTargets(parsed.options)
    return await command.run(parsed.operands, parsed.options, io)
  } catch (error) {
    if (error instanceof UsageError) {
      const more = commands.some(({ name }) => name === word) ? ` ${word}` : ''
      io.note(`terrace bench: ${error.message}\nSee "terrace bench${more} --help".\n`)
      return 2
    }
    if (error instanceof InputError) {
      io.note(`terrace bench: ${error.message}\n`)
      return 1
    }
    if (error instanceof Interrupted) {
      io.note('terrace bench: interrupted, nothing to report yet\n')
      return 130
    }
    throw error
  }
}

function help(words: readonly string[], io: BenchIo): number {
  const [word] = words
  io.out(word === undefined ? overview(commands) : commandHelp(commandNamed(word)))
  return 0
}

function commandNamed(word: string): BenchCommand {
  const found = commands.find(({ name }) => name === word)
  if (found !== undefined) return found
  const names = commands.map(({ name }) => name)
  throw new UsageError(`unknown command "${word}".${suggestion(word, names)}`)
}

if (import.meta.main) process.exitCode = await benchMain(process.argv.slice(2))
