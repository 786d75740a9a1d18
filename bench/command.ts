import type { BenchIo } from './io.ts'

/** One option of a command: parser, `--help` and the README's tables are made from these rows. The option
 *  on the command line is the row's name in lower case with hyphens (`blockTokens` is `--block-tokens`). */
export type OptionField =
  | { readonly kind: 'flag'; readonly about: string }
  | {
      readonly kind: 'text'
      readonly placeholder: string
      readonly fallback: string | null
      /** Allowed words; absent means any text. */
      readonly choices?: readonly string[]
      readonly about: string
    }
  | {
      readonly kind: 'number'
      readonly placeholder: string
      readonly unit: string
      readonly fallback: number | null
      readonly min: number
      readonly max: number
      readonly whole?: boolean
      readonly about: string
    }
  | {
      /** Bytes with a unit: 512GiB, 2TB. */
      readonly kind: 'bytes'
      readonly placeholder: string
      readonly fallback: number | null
      readonly min: number
      readonly max: number
      readonly about: string
    }
  | {
      /** Comma-separated, and may be repeated. */
      readonly kind: 'list'
      readonly placeholder: string
      readonly fallback: readonly string[]
      readonly about: string
    }
  /** `--json` or `--json=FILE`: a switch that may name a file; the value is '' when it names none. */
  | { readonly kind: 'target'; readonly about: string }

export type OptionFields = Readonly<Record<string, OptionField>>

type OptionValue<F extends OptionField> = F extends { kind: 'flag' }
  ? boolean
  : F extends { kind: 'list' }
    ? readonly string[]
    : F extends { kind: 'target' }
      ? string | null
      : F extends { kind: 'number' | 'bytes' }
        ? F['fallback'] extends number
          ? number
          : number | null
        : F extends { kind: 'text' }
          ? F['fallback'] extends string
            ? string
            : string | null
          : never

export type OptionValues<Fields extends OptionFields> = {
  readonly [Name in keyof Fields]: OptionValue<Fields[Name]>
}

type Example = { readonly line: string; readonly about: string }

type Operand = {
  readonly name: string
  readonly about: string
  readonly min: number
  readonly max: number
}

/** One word after `terrace bench`. `run` gets checked operands and options and answers the exit code. */
export type BenchCommand = {
  readonly name: string
  readonly summary: string
  readonly operand: Operand | null
  readonly options: OptionFields
  readonly examples: readonly Example[]
  readonly run: (operands: readonly string[], options: Values, io: BenchIo) => Promise<number>
}

type Values = Readonly<Record<string, unknown>>

/** Writes a command with typed options and forgets the types, so that all commands fit one table. */
export function defineCommand<const Fields extends OptionFields>(command: {
  readonly name: string
  readonly summary: string
  readonly operand: Operand | null
  readonly options: Fields
  readonly examples: readonly Example[]
  readonly run: (operands: readonly string[], options: OptionValues<Fields>, io: BenchIo) => Promise<number>
}): BenchCommand {
  // The parser builds the values from the same `options` rows, so the shapes agree.
  return { ...command, run: command.run as unknown as BenchCommand['run'] }
}
