/** Something that the person at the keyboard has to put right: a missing tool, a wrong file, no network.
 *  Its message is one sentence that names the thing and what to do; it is printed as it is. */
export class SetupProblem extends Error {
  override readonly name = 'SetupProblem'
}

/** One step of a long setup, for a line in the terminal. `done` of `total` is in units of the step itself
 *  (files compiled, bytes hashed); `total` 0 means that the length is not known. */
export type Progress = { readonly step: string; readonly done: number; readonly total: number }
export type OnProgress = (progress: Progress) => void

/** What a waiting setup needs of the World: a pause. */
export type Sleep = (ms: number) => Promise<void>
