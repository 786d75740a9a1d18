/** A field of a JSON value of unknown shape, or undefined. Own fields only: `__proto__` is just another name. */
export function field(json: unknown, name: string): unknown {
  if (typeof json !== 'object' || json === null || !Object.hasOwn(json, name)) return undefined
  return (json as Record<string, unknown>)[name]
}

/** A number two levels down, or 0. */
export function numberAt(json: unknown, outer: string, inner: string): number {
  const value = field(field(json, outer), inner)
  return typeof value === 'number' && Number.isFinite(value) ? value : 0
}
