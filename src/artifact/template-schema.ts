import * as z from 'zod'
import type { FileShape, Finding } from './located-yaml.ts'

/**
 * rootfs.yaml: what a runtime consists of, as data. The built-in templates and users' own have the same form. Made when a template
 * is read: builds without one need not wait for it.
 */
function templateSchema() {
  const regex = z.string().refine(isRegex, 'is no regular expression')
  const mode = z.string({ error: "write the mode as a quoted octal number, such as '0644'" }).regex(/^0[0-7]{3,4}$/, {
    error: "write the mode as a quoted octal number, such as '0644'",
  })
  const relativePath = z.string().refine(isSafePath, 'must be a path inside the rootfs: relative, without ".."')
  const assetName = z.string().regex(/^[^/]+$/, { error: 'must be a file name, without "/"' })
  const source = z.strictObject({
    url: z.string().regex(/^(https?|file):\/\//, { error: 'must be an https:, http: or file: URL' }),
    /** How the version's "+" is spelled there. */
    tag: z.enum(['percent', 'plain', 'dash']).default('percent'),
  })
  const role = z.enum(['binary', 'image-archive', 'image-list', 'installer', 'release-notes', 'other'])

  const artifact = z.strictObject({
    name: z.string().min(1),
    role: role.default('other'),
    assets: z.array(assetName).min(1),
    platform: z.enum(['each', 'any']).default('each'),
    checksummed: z.boolean().default(false),
    optional: z.boolean().default(false),
    /** Only where upstream has no place of its own for the file. */
    locator: z.string().optional(),
    sources: z.array(source).optional(),
    target: z.strictObject({ path: z.string().min(1), mode }).optional(),
  })

  const channels = z.strictObject({
    url: z.url(),
    names: regex,
    default: z.string(),
  })

  const versions = z.strictObject({
    pattern: regex,
    example: z.string(),
    suffix: z.string().optional(),
    kubernetes: regex.optional(),
    excluded: z.array(z.strictObject({ version: z.string(), reason: z.string() })).default([]),
    channels: channels.optional(),
  })

  return z.strictObject({
    apiVersion: z.literal('cloudimg.io/v1'),
    kind: z.literal('RootfsTemplate'),
    name: z.string().regex(/^[a-z0-9][a-z0-9.-]*$/, { error: 'use lower-case letters, digits, "-" and "."' }),
    runtime: z.enum(['k3s', 'k0s', 'kubernetes']).optional(),
    versions: versions.optional(),
    sources: z.array(source).default([]),
    platforms: z
      .partialRecord(z.enum(['amd64', 'arm64', 'arm', 's390x']), z.record(z.string(), z.string().regex(/^[^/]*$/)))
      .default({}),
    checksums: assetName.optional(),
    artifacts: z.array(artifact).default([]),
    features: z.record(z.string(), z.array(z.string().regex(/^v\d+\.\d+\.\d+$/)).min(1)).default({}),
    components: z.record(z.string(), z.array(z.string()).min(1)).default({}),
    files: z.array(z.strictObject({ path: relativePath, mode })).default([]),
  })
}

export type TemplateData = z.output<ReturnType<typeof templateSchema>>
export type ArtifactData = TemplateData['artifacts'][number]
export type SourceData = TemplateData['sources'][number]

/** What the shape alone does not say: words without a meaning, sources that are missing, names used twice. */
function checkTemplate(data: TemplateData): readonly Finding[] {
  return [
    ...checkVersions(data),
    ...data.artifacts.flatMap((item, index) => checkArtifact(data, item, index)),
    ...duplicates(data.artifacts.map(item => item.name)).map(index => ({
      path: ['artifacts', index, 'name'],
      message: `artifacts.${index}.name: "${data.artifacts[index]?.name}" is used twice`,
    })),
    ...duplicates(data.files.map(item => item.path)).map(index => ({
      path: ['files', index, 'path'],
      message: `files.${index}.path: "${data.files[index]?.path}" is listed twice`,
    })),
  ]
}

function checkVersions(data: TemplateData): readonly Finding[] {
  const { versions: known } = data
  if (known === undefined) return []
  const groups = new RegExp(known.pattern).exec(known.example)?.groups
  if (groups === undefined) {
    return [{ path: ['versions', 'example'], message: 'versions.example: does not match versions.pattern' }]
  }
  return ['major', 'minor', 'patch']
    .filter(name => groups[name] === undefined)
    .map(name => ({
      path: ['versions', 'pattern'],
      message: `versions.pattern: has no group (?<${name}>…), by which versions are ordered`,
    }))
}

function checkArtifact(data: TemplateData, item: ArtifactData, index: number): readonly Finding[] {
  const found: Finding[] = []
  const say = (key: string, message: string): void => {
    found.push({ path: ['artifacts', index, key], message: `artifacts.${index}.${key}: ${message}` })
  }
  const sources = item.sources ?? data.sources
  if (sources.length === 0 && item.locator === undefined) say('assets', 'no source says where it comes from')
  if (item.checksummed && data.checksums === undefined) say('checksummed', 'the template names no checksums file')
  if (item.checksummed && item.platform === 'any') say('checksummed', 'checksum files are per platform')
  const known = knownWords(data, item)
  const texts = [...item.assets, item.locator ?? '', item.target?.path ?? '', ...sources.map(({ url }) => url)]
  const unknown = texts.flatMap(text => placeholders(text)).find(word => !known.has(word))
  if (unknown !== undefined) say('assets', `nothing gives {${unknown}} a value on every platform`)
  if (item.target !== undefined && !isSafePath(item.target.path)) say('target', 'must be a path inside the rootfs')
  return found
}

function knownWords(data: TemplateData, item: ArtifactData): ReadonlySet<string> {
  const fixed = ['asset', ...(data.versions === undefined ? [] : ['tag'])]
  const platforms = item.platform === 'any' ? [] : Object.values(data.platforms)
  const [first] = platforms
  const shared = Object.keys(first ?? {}).filter(word => platforms.every(words => words[word] !== undefined))
  return new Set([...fixed, ...shared])
}

/** The words in braces. */
export function placeholders(text: string): readonly string[] {
  return Array.from(text.matchAll(/\{([A-Za-z]+)\}/g), match => match[1] ?? '')
}

function duplicates(names: readonly string[]): readonly number[] {
  return names.flatMap((name, index) => (names.indexOf(name) < index ? [index] : []))
}

/** Relative, normal, below its root. */
export function isSafePath(path: string): boolean {
  return path !== '' && !path.includes('\0') && path.split('/').every(part => !['', '.', '..'].includes(part))
}

function isRegex(text: string): boolean {
  try {
    return new RegExp(text) instanceof RegExp
  } catch {
    return false
  }
}

/** rootfs.yaml as `parseLocatedYaml` takes it. */
export const templateShape: FileShape<ReturnType<typeof templateSchema>> = {
  rule: 'rootfs-schema',
  schema: templateSchema,
  words: [
    'apiVersion kind name runtime versions sources platforms checksums artifacts features components files',
    'pattern example suffix kubernetes excluded channels version reason url names default tag',
    'role assets platform checksummed optional locator target path mode',
  ].flatMap(line => line.split(' ')),
  check: checkTemplate,
}
