import * as z from 'zod'

type Path = readonly PropertyKey[]

/** The names that a schema knows at a place; none where any name goes, or where there is no such place. */
export function knownFields(schema: z.core.$ZodType, path: Path): readonly string[] {
  const found = path.reduce<z.core.$ZodType | undefined>((at, key) => at && childOf(bare(at), key), schema)
  const at = found && bare(found)
  return at instanceof z.ZodObject ? Object.keys(at.shape) : []
}

function bare(schema: z.core.$ZodType): z.core.$ZodType {
  return schema instanceof z.ZodOptional ? bare(schema.unwrap()) : schema
}

function childOf(schema: z.core.$ZodType, key: PropertyKey): z.core.$ZodType | undefined {
  if (schema instanceof z.ZodArray) return mapOf(schema.element)
  if (schema instanceof z.ZodObject) return (schema.shape as Record<PropertyKey, z.core.$ZodType>)[key]
  return undefined
}

/** Of what may be a map or something simple, the map. */
function mapOf(schema: z.core.$ZodType): z.core.$ZodType {
  return schema instanceof z.ZodUnion
    ? (schema.options.find(option => option instanceof z.ZodObject) ?? schema)
    : schema
}
