import { spawn } from 'node:child_process'
import { SetupProblem } from './problem.ts'

/** How each tool of the setup is brought to a machine that lacks it. */
const bringing: Record<string, string> = {
  'g++': 'apt-get install -y g++',
  gcc: 'apt-get install -y gcc',
  git: 'apt-get install -y git',
  npm: 'apt-get install -y npm',
  python3: 'apt-get install -y python3 python3-pip',
  tar: 'apt-get install -y tar',
}

export type ToolOptions = {
  readonly cwd?: string
  readonly environment?: Record<string, string>
  readonly signal?: AbortSignal
  /** What the tool was to do, for the sentence of a failure: "compile main.cpp". */
  readonly purpose: string
}

/** Longest kept output of a tool, in characters. Why: it goes into one error sentence or one version line. */
const outputCharsMax = 262_144

/** Runs one tool to its end and gives its standard output. Fails with one sentence: which tool, what for, what
 *  it said last. The tool dies with the signal; it is never started through a shell. */
export function runTool(tool: string, args: readonly string[], options: ToolOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(tool, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...options.environment },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    })
    let output = ''
    let complaint = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (output.length < outputCharsMax) output += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaint = (complaint + text).slice(-outputCharsMax)
    })
    child.once('error', (error: NodeJS.ErrnoException) => reject(startProblem(tool, error, options)))
    child.once('close', (code, signal) => {
      if (code === 0) return resolve(output)
      const how = signal === null ? `exit code ${code}` : `signal ${signal}`
      reject(
        new SetupProblem(`could not ${options.purpose}: ${tool} ended with ${how}${lastWords(complaint)}`),
      )
    })
  })
}

function startProblem(tool: string, error: NodeJS.ErrnoException, options: ToolOptions): Error {
  if (error.name === 'AbortError') return error
  if (error.code === 'ENOENT') return new SetupProblem(missingTool(tool, options.purpose))
  return new SetupProblem(
    `could not ${options.purpose}: ${tool} does not start (${error.code ?? error.message})`,
  )
}

/** The sentence for a tool that is not on PATH. */
function missingTool(tool: string, purpose: string): string {
  const command = bringing[tool]
  const how = command === undefined ? 'install it and put it on PATH' : `bring it with: ${command}`
  return `${tool} is not on this machine and is needed to ${purpose}; ${how}`
}

function lastWords(complaint: string): string {
  const lines = complaint.split('\n').filter((line) => line.trim() !== '')
  const telling = lines.find((line) => /error|fatal|not found|no space/i.test(line)) ?? lines.at(-1)
  return telling === undefined ? '' : `: ${telling.trim().slice(0, 300)}`
}
