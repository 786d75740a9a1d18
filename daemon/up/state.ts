import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** What a running `up` leaves in its data directory, so that status and demo find it. No secrets. */
export type UpState = {
  readonly processId: number
  readonly router: string
  readonly admin: string
  readonly workers: readonly { readonly name: string; readonly url: string }[]
  readonly model: string
  readonly data: string
  /** How often SIGHUP restarted engines and daemon. */
  readonly restartCount: number
}

const fileName = 'up.json'

export function writeUpState(state: UpState): void {
  writeFileSync(join(state.data, fileName), `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600 })
}

export function dropUpState(data: string): void {
  rmSync(join(data, fileName), { force: true })
}

/** The state of the `up` that runs on this data directory, or null when none does. */
export function readUpState(data: string): UpState | null {
  let state: UpState
  try {
    state = JSON.parse(readFileSync(join(data, fileName), 'utf8')) as UpState
    process.kill(state.processId, 0)
  } catch {
    return null
  }
  return state
}

/** The state of the `up` that a word like `status` looks at; without one the person is told, and the word ends. */
export function findUpState(word: string, data: string): UpState | null {
  const state = readUpState(data)
  if (state === null) {
    const how = 'start "npm start" in another terminal, or give --data'
    process.stderr.write(`terrace ${word}: nothing runs on ${data}: ${how}\n`)
  }
  return state
}
