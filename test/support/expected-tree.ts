import { createHash } from 'node:crypto'
import { compareBytes } from '../../src/io/files.ts'
import type { ListedEntry, TreeListing } from './tree-listing.ts'

/**
 * A tree as lines, one for each entry: `d/` a directory, `f < a/b` a file that holds the text `a/b` (which is where a
 * context's file came from), `f = text` one with another content, `l -> t` a symbolic link. Behind the path its mode and
 * owner where they are not 0755 or 0644 and 0:0: `f 0600 1:2 < a`.
 */
export function expectedTree(lines: readonly string[]): TreeListing {
  const entries = lines.map(expectedEntry).sort(([a], [b]) => compareBytes(a, b))
  return new Map(entries)
}

function expectedEntry(line: string): readonly [string, ListedEntry] {
  const [, head = '', sign, rest = ''] = /^(.*?)(?: (->|<|=) ?(.*))?$/s.exec(line) ?? []
  const [, path = '', mode, owner = '0:0'] = /^(.*?)(?: ([0-7]{4}))?(?: (\d+:\d+))?$/.exec(head) ?? []
  const common = { owner, size: 0, sha256: '', linkTarget: '' }
  if (sign === '->') return [path, { ...common, type: 'symlink', mode: '', linkTarget: rest }]
  if (path.endsWith('/')) return [path.slice(0, -1), { ...common, type: 'directory', mode: mode ?? '0755' }]
  if (sign === undefined) throw new Error(`"${line}" says nothing of the file's content`)
  const content = Buffer.from(rest.replaceAll(String.raw`\n`, '\n'))
  const sha256 = createHash('sha256').update(content).digest('hex')
  return [path, { ...common, type: 'file', mode: mode ?? '0644', size: content.length, sha256 }]
}
