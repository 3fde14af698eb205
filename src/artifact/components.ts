import { parseReference } from '../core/reference.ts'
import type { TemplateData } from './template-schema.ts'
import { kubernetesVersion } from './version.ts'

/** The version of one part of a release, and who says so. */
export interface Component {
  readonly name: string
  readonly version: string
  /** `version` = the release's own name, `image-list` = the tag in its list of images, `release-notes` = their table. */
  readonly source: 'version' | 'image-list' | 'release-notes'
}

export interface ComponentFacts {
  readonly version: string | undefined
  /** The references of the release's image list. */
  readonly images: readonly string[]
  /** The release notes as Markdown, where a mirror has them. */
  readonly notes?: string | undefined
}

/**
 * What the release tells about its parts without running any of them; sorted by name. Where two sources name one part, the
 * one that was built counts: the image list before the notes.
 */
export function componentsOf(
  template: Pick<TemplateData, 'name' | 'versions' | 'components'>,
  facts: ComponentFacts,
): readonly Component[] {
  const found = new Map<string, Component>()
  for (const { name, version } of parseReleaseNotes(facts.notes ?? '')) {
    found.set(name, { name, version, source: 'release-notes' })
  }
  for (const [name, repositories] of Object.entries(template.components)) {
    const version = tagOf(facts.images, repositories)
    if (version !== undefined) found.set(name, { name, version, source: 'image-list' })
  }
  const kubernetes = facts.version === undefined ? undefined : kubernetesVersion(template, facts.version)
  if (kubernetes !== undefined) found.set('kubernetes', { name: 'kubernetes', version: kubernetes, source: 'version' })
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}

function tagOf(images: readonly string[], repositories: readonly string[]): string | undefined {
  return images.map(image => parseReference(image)).find(({ repository }) => repositories.includes(repository))?.tag
}

/**
 * The table "Embedded Component Versions" of a k3s release: rows `| Component | Version |`, whose cells may be Markdown links.
 * Names become lower-case words joined by "-". Empty where there is no such table.
 */
export function parseReleaseNotes(markdown: string): readonly { readonly name: string; readonly version: string }[] {
  const lines = markdown.split(/\r?\n/)
  const head = lines.findIndex(line => /^\|\s*component\s*\|\s*version\s*\|/i.test(line.trim()))
  if (head < 0) return []
  const rows = lines.slice(head + 2)
  const end = rows.findIndex(line => !line.trim().startsWith('|'))
  return rows.slice(0, end < 0 ? rows.length : end).flatMap(line => {
    const [name, version] = line
      .trim()
      .replace(/^\||\|$/g, '')
      .split('|')
      .map(plainCell)
    return name === undefined || name === '' || version === undefined || version === ''
      ? []
      : [{ name: name.toLowerCase().replaceAll(/\s+/g, '-'), version }]
  })
}

function plainCell(cell: string): string {
  return cell
    .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replaceAll(/[`*]/g, '')
    .trim()
}
