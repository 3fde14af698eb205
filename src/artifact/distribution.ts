import { CloudimgError } from '../core/error.ts'
import { formatPlatform, type Platform } from '../core/platform.ts'
import type { Artifact, ArtifactFile, Target } from './artifact.ts'
import { parseMode } from './template.ts'
import type { ArtifactData, SourceData, TemplateData } from './template-schema.ts'

type Words = Readonly<Record<string, string>>

/**
 * The files that a runtime at a version consists of on a platform. Pure: no network, no disk.
 * @throws ARTIFACT_UNKNOWN where upstream publishes nothing for the platform.
 */
export function artifactsOf(template: TemplateData, version: string, platform: Platform): readonly Artifact[] {
  const words = template.platforms[platform.arch]
  if (words === undefined && template.artifacts.some(item => item.platform === 'each')) {
    const known = Object.keys(template.platforms).map(arch => `linux/${arch}`)
    throw new CloudimgError(
      'ARTIFACT_UNKNOWN',
      `reading template "${template.name}": it has nothing for ${formatPlatform(platform)}`,
      { hint: `use ${known.join(', ')}` },
    )
  }
  return template.artifacts.map(item => toArtifact(template, item, version, platform, words ?? {}))
}

function toArtifact(
  template: TemplateData,
  item: ArtifactData,
  version: string,
  platform: Platform,
  words: Words,
): Artifact {
  const sources = item.sources ?? template.sources
  const file = (asset: string): ArtifactFile => toFile(asset, item, sources, version, words)
  const [first, ...others] = item.assets
  return {
    template: template.name,
    name: item.name,
    role: item.role,
    version,
    platform: item.platform === 'any' ? 'any' : platform,
    forms: [file(first ?? item.name), ...others.map(file)],
    checksums:
      item.checksummed && template.checksums !== undefined
        ? toFile(template.checksums, undefined, template.sources, version, words)
        : undefined,
    optional: item.optional,
  }
}

function toFile(
  pattern: string,
  item: ArtifactData | undefined,
  sources: readonly SourceData[],
  version: string,
  words: Words,
): ArtifactFile {
  const asset = fill(pattern, words)
  const urls = sources.map(source => new URL(fill(source.url, { ...words, asset, tag: spellTag(version, source.tag) })))
  const own = item?.locator
  const locator = own === undefined ? urls[0]?.href : fill(own, { ...words, asset, tag: spellTag(version, 'percent') })
  if (locator === undefined) throw new CloudimgError('BUG', `artifact "${asset}" has neither source nor locator`)
  return { asset, locator, sources: urls, target: toTarget(item, { ...words, asset }) }
}

function toTarget(item: ArtifactData | undefined, words: Words): Target | undefined {
  if (item?.target === undefined) return undefined
  return { path: fill(item.target.path, words), mode: parseMode(item.target.mode) }
}

/** The version as a place spells it: `%2B` everywhere works for `+` in a path, image-like mirrors write `-`. */
export function spellTag(version: string, spelling: SourceData['tag']): string {
  if (spelling === 'plain') return version
  return spelling === 'dash' ? version.replaceAll('+', '-') : version.replaceAll('+', '%2B')
}

function fill(pattern: string, words: Words): string {
  return pattern.replaceAll(/\{([A-Za-z]+)\}/g, (whole, word: string) => words[word] ?? whole)
}
