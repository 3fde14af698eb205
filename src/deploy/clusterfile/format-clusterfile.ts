import { stringify } from 'yaml'
import type { Clusterfile } from './schema.ts'

/** The inverse of `parseClusterfile`. The first line lets editors find the schema. */
export function formatClusterfile(file: Clusterfile): string {
  return `# yaml-language-server: $schema=https://cloudimg.io/schemas/clusterfile.json\n${stringify(file, { lineWidth: 0 })}`
}
