import { readdir } from 'node:fs/promises'
import { basename, isAbsolute, join, relative, resolve } from 'node:path'
import type { Context } from '../core/context.ts'
import { CloudimgError } from '../core/error.ts'
import { suggest } from '../core/suggest.ts'
import { compareBytes, lstatIfPresent, readFileIfPresent, readdirIfPresent, withFileErrors } from '../io/files.ts'
import { limits } from '../io/limits.ts'
import { packageFile } from '../io/package-file.ts'
import { parseLocatedYaml } from './located-yaml.ts'
import { type TemplateData, templateShape } from './template-schema.ts'

/** A rootfs template: its data, and where its files lie. */
export interface Template extends TemplateData {
  /** Absolute. */
  readonly directory: string
}

/** A file that the template lays down as it is. */
export interface TemplateFile {
  /** In the rootfs, relative. */
  readonly path: string
  /** On this machine, absolute. */
  readonly source: string
  readonly mode: number
}

/** `rootfs-templates/` beside the program, from the checkout and from the installed package alike. */
export const builtinTemplates = packageFile('rootfs-templates/')

/** Whether BASE means a directory of the context rather than a template that comes with cloudimg. */
export function isTemplatePath(name: string): boolean {
  return name.startsWith('./') || name.startsWith('../') || isAbsolute(name)
}

/**
 * The template that `BASE name` asks for: a built-in one, or `./dir` below `contextDirectory`.
 * @throws ARTIFACT_UNKNOWN where there is none; InvalidFileError for mistakes in its rootfs.yaml.
 */
export async function loadTemplate(name: string, contextDirectory: string, ctx: Context): Promise<Template> {
  const directory = isTemplatePath(name) ? insideContext(name, contextDirectory) : join(builtinTemplates, name)
  const path = join(directory, 'rootfs.yaml')
  const known = isTemplatePath(name) ? [] : await builtinNames()
  const text =
    isTemplatePath(name) || known.includes(name) ? await readFileIfPresent(path, limits.kubefileBytes) : undefined
  if (text === undefined) throw unknownTemplate(name, path, known)
  const template = { ...parseTemplate(text.toString('utf8'), path), directory }
  await warnOfUnlisted(template, ctx)
  return template
}

/** @throws InvalidFileError with every mistake and its place. */
export function parseTemplate(text: string, filename: string): TemplateData {
  return parseLocatedYaml(text, filename, templateShape)
}

/** The template's own files. @throws CONTEXT_INVALID where a listed file is not a regular file of the directory. */
export async function templateFiles(template: Template): Promise<readonly TemplateFile[]> {
  return Promise.all(
    template.files.map(async file => {
      const source = join(template.directory, file.path)
      const stats = await lstatIfPresent(source)
      if (stats?.isFile() !== true) {
        const why = stats === undefined ? 'no such file' : 'not a regular file'
        throw new CloudimgError('CONTEXT_INVALID', `reading "${source}", which rootfs.yaml lists: ${why}`)
      }
      return { path: file.path, source, mode: parseMode(file.mode) }
    }),
  )
}

/** `'0755'` → 0o755. */
export function parseMode(text: string): number {
  return Number.parseInt(text, 8)
}

async function builtinNames(): Promise<readonly string[]> {
  const names = await readdirIfPresent(builtinTemplates)
  return names.filter(name => !name.startsWith('.')).sort(compareBytes)
}

function insideContext(name: string, contextDirectory: string): string {
  const root = resolve(contextDirectory)
  const directory = resolve(root, name)
  const inside = relative(root, directory)
  if (inside.startsWith('..') || isAbsolute(inside)) {
    throw new CloudimgError('CONTEXT_INVALID', `reading template "${name}": it lies outside the context "${root}"`)
  }
  return directory
}

function unknownTemplate(name: string, path: string, known: readonly string[]): CloudimgError {
  if (isTemplatePath(name)) return new CloudimgError('ARTIFACT_UNKNOWN', `reading template "${name}": no "${path}"`)
  const near = suggest(name, known)
  return new CloudimgError('ARTIFACT_UNKNOWN', `reading template "${name}": there is none of that name`, {
    hint:
      near === undefined
        ? `use ${known.join(' or ')}, or write ./${name} for a directory of the context`
        : `did you mean ${near}?`,
  })
}

// A file that was forgotten in the list would be a silent loss.
async function warnOfUnlisted(template: Template, ctx: Context): Promise<void> {
  const listed = new Set(['rootfs.yaml', ...template.files.map(file => file.path)])
  const entries = await withFileErrors('reading', template.directory, () =>
    readdir(template.directory, { recursive: true, withFileTypes: true }),
  )
  const unlisted = entries
    .filter(entry => !entry.isDirectory())
    .map(entry => relative(template.directory, join(entry.parentPath, entry.name)))
    .filter(path => !listed.has(path) && !/^readme/i.test(basename(path)))
    .sort(compareBytes)
  if (unlisted.length === 0) return
  ctx.events({
    kind: 'warning',
    code: 'template-file-unlisted',
    message: `template "${template.name}" does not lay down ${unlisted.map(path => `"${path}"`).join(', ')}: not listed in rootfs.yaml`,
    hint: 'list each under files: with its path and mode',
  })
}
