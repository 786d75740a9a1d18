import { shown } from '../report/format.ts'
import type { Heat, Stack } from '../report/report.ts'
import type { Plan } from './plan.ts'

/** Rows and columns of the map of costs, at most. */
const heatSteps = 9

/** Cost per month over host and NVMe sizes, without S3. */
export function sizeHeat(plan: Plan): Heat {
  const { capacities } = plan.held
  const last = capacities.length - 1
  const stride = Math.max(1, Math.ceil(last / (heatSteps - 1)))
  const places = Array.from(
    { length: Math.floor(last / stride) + 1 },
    (_, step) => last - step * stride,
  ).reverse()
  const sizeAt = (place: number): string => shown((capacities[place] ?? 0) * plan.blockBytes, 'bytes')
  const costAt = (host: number, nvme: number): number | null => {
    const found = plan.search.rough.find(
      ({ places: at }) => at.host === host && at.nvme === nvme && at.s3 === nvme,
    )
    return found === undefined ? null : found.cost.total
  }
  return {
    kind: 'heat',
    title:
      'Dollars per month, by a sample of the requests: host memory (down) against NVMe (across; equal: none), no S3',
    unit: 'dollars',
    rowNames: places.map(sizeAt),
    columnNames: places.map(sizeAt),
    values: places.map((host) => places.map((nvme) => (nvme < host ? null : costAt(host, nvme)))),
  }
}

const sourceNames = ['HBM', 'host', 'NVMe', 'S3', 'computed']

/** Prompt tokens over time by where they come from, with the recommended tiers. */
export function sourceStack(plan: Plan): Stack {
  const slices = plan.overTime[0]?.length ?? 0
  const layers = plan.overTime.map((values, index) => ({
    name: sourceNames[index] ?? '',
    values: [...values],
  }))
  return {
    kind: 'stack',
    title: 'Prompt tokens over time by source, with the recommended tiers',
    x: { title: 'time since the first request', unit: 'seconds' },
    y: { title: 'tokens', unit: 'tokens' },
    xs: Array.from({ length: slices }, (_, slice) => ((slice + 0.5) / slices) * plan.spanSeconds),
    layers: layers.filter(({ values }) => values.some((value) => value > 0)),
  }
}
