import type { OptionFields, OptionValues } from '../command.ts'
import type { Link, Prices, Site } from './site.ts'

const gb = 1e9

function price(placeholder: string, fallback: number, about: string) {
  return { kind: 'number', placeholder, unit: 'dollars', fallback, min: 0, max: 1e9, about } as const
}

function rate(fallback: number, about: string) {
  return { kind: 'number', placeholder: 'GB/s', unit: 'GB/s', fallback, min: 0.001, max: 1e5, about } as const
}

function delay(fallback: number, about: string) {
  return {
    kind: 'number',
    placeholder: 'MS',
    unit: 'milliseconds',
    fallback,
    min: 0,
    max: 60_000,
    about,
  } as const
}

/** Options that describe the site: model, engine, links, prices, goal. */
export const siteFields = {
  model: {
    kind: 'text',
    placeholder: 'NAME|FILE',
    fallback: 'llama-3-70b',
    about: 'A preset, a Hugging Face config.json (or its folder), or a GGUF file.',
  },
  kvDtype: {
    kind: 'text',
    placeholder: 'TYPE',
    fallback: 'auto',
    choices: ['auto', 'bf16', 'fp16', 'fp8', 'int8', 'fp4'],
    about: "Type of the KV cache; auto is the model's own.",
  },
  kvBytesPerToken: {
    kind: 'number',
    placeholder: 'N',
    unit: 'bytes',
    fallback: null,
    min: 1,
    max: 1e8,
    about: 'KV bytes per token; replaces --model.',
  },
  prefillTokensPerSecond: {
    kind: 'number',
    placeholder: 'N',
    unit: 'tokens/s',
    fallback: 10_000,
    min: 1,
    max: 1e9,
    about: 'Prefill speed of one engine on short prompts.',
  },
  prefillHalfAt: {
    kind: 'number',
    placeholder: 'TOKENS',
    unit: 'tokens',
    fallback: null,
    min: 1,
    max: 1e9,
    about: 'Prompt length at which attention has halved the prefill speed; without it, speed does not fall.',
  },
  overlap: { kind: 'flag', about: 'The engine loads KV layer by layer while it computes.' },
  hbmBytes: {
    kind: 'bytes',
    placeholder: 'SIZE',
    fallback: 0,
    min: 0,
    max: 2 ** 50,
    about: 'KV memory of all engines together: what they hit without Terrace.',
  },
  hostRate: rate(25, 'Host memory to one engine.'),
  nvmeRate: rate(6, 'NVMe to one engine.'),
  s3Rate: rate(2, 'S3 to one engine.'),
  hostDelay: delay(0.1, 'Delay of a load from host memory.'),
  nvmeDelay: delay(0.5, 'Delay of a load from NVMe.'),
  s3Delay: delay(40, 'Delay of a load from S3.'),
  ttft: {
    kind: 'number',
    placeholder: 'MS',
    unit: 'milliseconds',
    fallback: null,
    min: 1,
    max: 1e7,
    about: 'Goal: time to first token (without it, only money counts) ...',
  },
  ttftShare: {
    kind: 'number',
    placeholder: 'SHARE',
    unit: '',
    fallback: 0.95,
    min: 0.01,
    max: 0.9999,
    about: '... for this share of the requests.',
  },
  traffic: {
    kind: 'number',
    placeholder: 'X',
    unit: '',
    fallback: 1,
    min: 0.001,
    max: 1e6,
    about: "How many times the trace's traffic the site serves.",
  },
  gpuHour: price('USD', 2.5, 'One engine for an hour.'),
  dramGbMonth: price('USD', 0.15, 'Host memory per GB and month.'),
  nvmeGbMonth: price('USD', 0.008, 'NVMe per GB and month.'),
  nvmeGb: price('USD', 0.1, 'Drive price per GB, for wear.'),
  nvmeRewrites: {
    kind: 'number',
    placeholder: 'N',
    unit: '',
    fallback: 1_825,
    min: 1,
    max: 1e6,
    about: 'Rated whole-drive writes (1 a day for 5 years are 1825).',
  },
  s3GbMonth: price('USD', 0.023, 'S3 storage per GB and month.'),
  s3Put: price('USD', 0.005, 'Thousand S3 writes.'),
  s3Get: price('USD', 0.0004, 'Thousand S3 reads.'),
  s3Egress: price('USD', 0, 'S3 traffic out, per GB.'),
  priceDate: {
    kind: 'text',
    placeholder: 'DATE',
    fallback: 'assumed list prices, 2026',
    about: 'When and where the prices are from; printed in the report.',
  },
} as const satisfies OptionFields

type SiteOptions = OptionValues<typeof siteFields>

export function siteOf(options: SiteOptions, bytesPerToken: number): Site {
  const linear = 1 / options.prefillTokensPerSecond
  // Seconds of a prompt of L tokens are linear * L + square * L²; at the half length the second equals the first.
  const square = options.prefillHalfAt === null ? 0 : linear / options.prefillHalfAt
  const link = (rateGb: number, delayMs: number): Link => ({
    bytesPerSecond: rateGb * gb,
    latencySeconds: delayMs / 1_000,
  })
  return {
    bytesPerToken,
    prefill: { linear, square },
    overlap: options.overlap,
    hbmBytes: options.hbmBytes,
    links: {
      host: link(options.hostRate, options.hostDelay),
      nvme: link(options.nvmeRate, options.nvmeDelay),
      s3: link(options.s3Rate, options.s3Delay),
    },
    prices: pricesOf(options),
    goal: { ttftSeconds: options.ttft === null ? null : options.ttft / 1_000, share: options.ttftShare },
    traffic: options.traffic,
  }
}

function pricesOf(options: SiteOptions): Prices {
  return {
    gpuHour: options.gpuHour,
    dramGbMonth: options.dramGbMonth,
    nvmeGbMonth: options.nvmeGbMonth,
    nvmeGb: options.nvmeGb,
    nvmeRewritesMax: options.nvmeRewrites,
    s3GbMonth: options.s3GbMonth,
    s3PutThousand: options.s3Put,
    s3GetThousand: options.s3Get,
    s3EgressGb: options.s3Egress,
    date: options.priceDate,
  }
}
