import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** One example of docs/kubefile.md, whole: `FROM scratch` stands before what has no FROM and no BASE. */
export interface ReferenceBlock {
  /** The heading above it, and which of its examples it is. */
  readonly name: string
  readonly source: string
}

const page = join(import.meta.dirname, '../../docs/kubefile.md')

export function referenceBlocks(): readonly ReferenceBlock[] {
  const counts = new Map<string, number>()
  return readFileSync(page, 'utf8')
    .split(/^(?=#{1,3} )/m)
    .flatMap(section => {
      const heading = /^#+ (.*)/.exec(section)?.[1] ?? ''
      return Array.from(section.matchAll(/^```dockerfile\n([\s\S]*?)^```$/gm), ([, source = '']) => {
        const count = (counts.get(heading) ?? 0) + 1
        counts.set(heading, count)
        return { name: `${heading} ${count}`, source }
      })
    })
}
