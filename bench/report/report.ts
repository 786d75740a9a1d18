/** How a number is written, and what it means. */
export type Unit =
  | 'text'
  | 'count'
  | 'blocks'
  | 'tokens'
  | 'bytes'
  | 'seconds'
  | 'milliseconds'
  /** 0..1, written with four digits: hit rates. */
  | 'rate'
  /** 0..1, written in percent: parts of a whole. */
  | 'share'
  | 'dollars'
  | 'number'

export type Cell = string | number | boolean | null

export type Column = { readonly key: string; readonly title: string; readonly unit: Unit }

export type Facts = {
  readonly kind: 'facts'
  readonly title: string
  readonly items: readonly {
    readonly key: string
    readonly label: string
    readonly value: Cell
    readonly unit: Unit
  }[]
}

export type Table = {
  readonly kind: 'table'
  readonly title: string
  readonly columns: readonly Column[]
  readonly rows: readonly Readonly<Record<string, Cell>>[]
}

export type Axis = { readonly title: string; readonly unit: Unit; readonly log?: boolean }

export type Line = {
  readonly name: string
  readonly points: readonly (readonly [number, number])[]
  /** Drawn as the edge of a filled band: a bound that no line may pass. */
  readonly band?: boolean
}

export type Curves = {
  readonly kind: 'curves'
  readonly title: string
  readonly x: Axis
  readonly y: Axis
  readonly lines: readonly Line[]
  /** Points worth pointing at: the optimum of a cost curve. */
  readonly marks?: readonly { readonly x: number; readonly y: number; readonly label: string }[]
}

/** Layers on top of each other along x: hits by tier over time. */
export type Stack = {
  readonly kind: 'stack'
  readonly title: string
  readonly x: Axis
  readonly y: Axis
  readonly xs: readonly number[]
  readonly layers: readonly { readonly name: string; readonly values: readonly number[] }[]
}

export type Heat = {
  readonly kind: 'heat'
  readonly title: string
  readonly unit: Unit
  readonly rowNames: readonly string[]
  readonly columnNames: readonly string[]
  readonly values: readonly (readonly (number | null)[])[]
}

/** Sentences: why an answer is what it is. */
export type Words = { readonly kind: 'words'; readonly title: string; readonly lines: readonly string[] }

export type Section = Facts | Table | Curves | Stack | Heat | Words

/** What a number means: printed with every report, because two hit rates with different definitions must
 *  not be compared. */
export type Context = {
  readonly definition: string
  readonly weighting: string
  readonly tailBlock: string
  readonly outputBlocks: string
  readonly warmUp: string
  readonly concurrency: string
  readonly capacity: string
  readonly order: string
  readonly seed: number | null
  readonly assumed: readonly string[]
  readonly commit: string
  readonly machine: string
}

/** What a command found. `json` is the machine's form (and may name fields as a contract wants them); the sections
 *  are people's form of the same numbers. */
export type Report = {
  readonly command: string
  readonly title: string
  readonly json: Readonly<Record<string, unknown>>
  readonly sections: readonly Section[]
  readonly context: Context
  /** True when Ctrl-C ended the run before everything was computed. */
  readonly partial: boolean
}
