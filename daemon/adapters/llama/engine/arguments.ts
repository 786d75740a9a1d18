import type { LlamaServer } from '../build/ensure.ts'

/** How one llama-server is to be started. */
export type EngineOptions = {
  readonly server: LlamaServer
  readonly model: string
  /** Tokens that one slot can hold, and slots. */
  readonly contextTokens: number
  readonly slotCount: number
  readonly threadCount: number
  /** Folder for slot files; on tmpfs, so that saving is a copy in memory. */
  readonly slotFolder: string
  readonly logFile: string
  /** Name of the model in answers; the file's path would tell strangers about the machine. */
  readonly alias: string
}

/** Arguments of the server. What each non-obvious one is for:
 *  one stream per slot (no unified cache), so that a slot file holds one sequence in order;
 *  no cache of its own in host memory, because that would answer in place of ours and across tenants;
 *  flash attention, because without it values lie transposed and have no pieces;
 *  warnings only in its log, which therefore stays small and free of prompts. */
export function engineArguments(options: EngineOptions, port: number): string[] {
  return [
    ...['--model', options.model, '--alias', options.alias],
    ...['--host', '127.0.0.1', '--port', String(port)],
    ...['--ctx-size', String(options.contextTokens * options.slotCount)],
    ...['--parallel', String(options.slotCount), '--no-kv-unified', '--cache-ram', '0'],
    ...['--threads', String(options.threadCount), '--threads-http', '8'],
    ...['--slot-save-path', options.slotFolder, '--flash-attn', 'on'],
    ...['--metrics', '--no-webui', '--log-verbosity', '2'],
  ]
}

/** Threads for each of several engines on one machine: a share of the cores, at least one. More threads than cores make a
 *  prompt many times slower, because every layer waits for the slowest thread. */
export function threadShare(coreCount: number, engineCount: number): number {
  return Math.max(1, Math.floor(coreCount / Math.max(1, engineCount)))
}
