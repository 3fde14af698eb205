/** YAML or JSON with aliases and merge keys resolved; every value knows where it stands. */
export type Value = MapValue | ListValue | TextValue | OtherValue

interface Located {
  readonly file: string
  readonly line: number
  /** The way to it: `spec.containers[0].image`. */
  readonly field: string
}

export interface MapValue extends Located {
  readonly kind: 'map'
  readonly entries: readonly (readonly [key: string, value: Value])[]
}

export interface ListValue extends Located {
  readonly kind: 'list'
  readonly items: readonly Value[]
}

export interface TextValue extends Located {
  readonly kind: 'text'
  readonly text: string
  /** A literal block: its text begins on the line behind its own, line by line. */
  readonly isLiteral: boolean
}

/** A number, boolean or null. */
export interface OtherValue extends Located {
  readonly kind: 'number' | 'other'
  /** As written. */
  readonly source: string
  readonly isNull: boolean
}

export function get(map: MapValue, key: string): Value | undefined {
  return map.entries.findLast(([name]) => name === key)?.[1]
}

export function getText(map: MapValue, key: string): TextValue | undefined {
  const value = get(map, key)
  return value?.kind === 'text' ? value : undefined
}

export function getMap(map: MapValue, key: string): MapValue | undefined {
  const value = get(map, key)
  return value?.kind === 'map' ? value : undefined
}

export function getList(map: MapValue, key: string): readonly Value[] {
  const value = get(map, key)
  return value?.kind === 'list' ? value.items : []
}

/** The line on which the text's character at `offset` stands; where the value begins unless it is a literal block. */
export function lineOf(value: Value, offset = 0): number {
  if (value.kind !== 'text' || !value.isLiteral) return value.line
  return value.line + 1 + (value.text.slice(0, offset).match(/\n/g)?.length ?? 0)
}

export function keyField(field: string, key: string): string {
  if (!/^[\w-]+$/.test(key)) return `${field}["${key}"]`
  return field === '' || field.endsWith(' > ') ? `${field}${key}` : `${field}.${key}`
}
