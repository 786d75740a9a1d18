import type { AdmissionSetting } from '../tiers/admit.ts'
import { admissionNamed, admissions } from '../tiers/policy/admission.ts'
import { policyNamed } from '../tiers/policy/register.ts'

/** The fields of the configuration that say what the tiers below host memory take. */
type RuleFields = {
  readonly policy: string
  readonly nvmeBytes: number
  readonly nvmePolicy: string | null
  readonly nvmeAdmission: string
  readonly nvmeDemotion: string
  readonly nvmeWriteBytesPerDay: number
  readonly s3: string | null
  readonly s3Admission: string
}

export const ruleNames = admissions.map((entry) => entry.name).join(', ')

/** What the admission rules need. */
export function ruleProblem(config: RuleFields): string | null {
  const { nvmeAdmission, s3Admission, nvmeDemotion, nvmeWriteBytesPerDay } = config
  for (const [flag, name] of [
    ['--nvme-admission', nvmeAdmission],
    ['--s3-admission', s3Admission],
  ] as const) {
    if (admissionNamed(name) === null) return `${flag}: no rule "${name}": use one of ${ruleNames}`
  }
  if (config.s3 === null && s3Admission !== 'all') return '--s3-admission: needs --s3'
  const isNvmeSet = nvmeAdmission !== 'all' || nvmeDemotion !== 'write-through' || nvmeWriteBytesPerDay > 0
  if (config.nvmeBytes === 0 && isNvmeSet) {
    return '--nvme-admission, --nvme-demotion, --nvme-write-bytes-per-day: need an nvme tier (--nvme-bytes)'
  }
  const learns = [config.policy, config.nvmePolicy].some(
    (name) => name !== null && policyNamed(name)?.tellsChances === true,
  )
  const wantsChances = [nvmeAdmission, s3Admission].find((name) => name.startsWith('likely'))
  if (wantsChances !== undefined && !learns) {
    return `--nvme-admission, --s3-admission: ${wantsChances} needs a policy that learns: give --policy or --nvme-policy terrace`
  }
  return null
}

/** The rules in front of the tiers below host memory; a tier that takes everything at once has none. */
export function admissionOf(config: RuleFields): {
  readonly nvme?: AdmissionSetting
  readonly s3?: AdmissionSetting
} {
  const { nvmeAdmission, nvmeWriteBytesPerDay: writeBytesPerDay, s3Admission } = config
  const demotion = config.nvmeDemotion === 'demote' ? 'demote' : 'write-through'
  const nvme = admissionNamed(nvmeAdmission)
  const s3 = admissionNamed(s3Admission)
  const isNvmeFree = nvmeAdmission === 'all' && demotion === 'write-through' && writeBytesPerDay === 0
  return {
    ...(nvme === null || isNvmeFree ? {} : { nvme: { rule: nvme, demotion, writeBytesPerDay } }),
    ...(s3 === null || s3Admission === 'all'
      ? {}
      : { s3: { rule: s3, demotion: 'write-through' as const, writeBytesPerDay: 0 } }),
  }
}
