import { text } from 'node:stream/consumers'
import { formatBytes } from '../../core/bytes.ts'
import { CloudimgError } from '../../core/error.ts'
import { hostPlatform, type Platform, samePlatform } from '../../core/platform.ts'
import { familiarReference } from '../../core/reference.ts'
import { readFileIfPresent } from '../../io/files.ts'
import type { ArchiveForm } from '../../oci/archive/archive-entry.ts'
import { type Inventory, mergeInventories, parseInventory } from '../../oci/archive/inventory.ts'
import { loadArchives } from '../../oci/archive/load-archive.ts'
import { partsListPath } from '../../oci/archive/parts.ts'
import type { ArchiveRoot } from '../../oci/archive/plan-archive.ts'
import { saveArchiveFile } from '../../oci/archive/save-archive-file.ts'
import { saveArchive, type SaveOptions } from '../../oci/archive/save-archive.ts'
import { saveDirectory } from '../../oci/archive/save-directory.ts'
import { saveParts } from '../../oci/archive/save-parts.ts'
import type { Store } from '../../oci/store/store.ts'
import { bringImage } from '../bring-image.ts'
import type { Session } from '../session.ts'

export interface SaveFlags {
  readonly output?: string
  readonly format: ArchiveForm | 'oci-dir'
  readonly platforms: readonly Platform[] | undefined
  readonly pull?: boolean
  /** Bytes. */
  readonly split?: number
  readonly have?: readonly string[]
}

/** `cloudimg save REF…`: one archive in a file, in parts or on stdout, or an OCI layout directory. */
export async function save(session: Session, references: readonly string[], flags: SaveFlags): Promise<void> {
  wantPlace(session, flags)
  const have = await readInventories(session, flags.have)
  const store = await session.store()
  const roots: ArchiveRoot[] = []
  for (const reference of references) {
    const { ref, descriptor } = await bringImage(session, reference, flags.pull === true)
    roots.push({ name: ref, descriptor, ...(flags.platforms === undefined ? {} : { platforms: flags.platforms }) })
  }
  const options = { ...platformOption(flags), ...(have === undefined ? {} : { have }) }
  if (flags.output === undefined) {
    await saveArchive(store, roots, session.terminal.stdout, { ...options, form: tarForm(flags) }, session.ctx)
    return
  }
  const written = await write(session, store, roots, { ...flags, output: flags.output }, options)
  const names = roots.map(root => familiarReference(root.name))
  session.answer({ saved: names, ...written.value }, `saved ${names.join(', ')} to ${written.text}`)
}

interface Written {
  readonly value: object
  readonly text: string
}

async function write(
  { ctx }: Session,
  store: Store,
  roots: readonly ArchiveRoot[],
  flags: SaveFlags & { readonly output: string },
  options: SaveOptions,
): Promise<Written> {
  const { output, split } = flags
  if (flags.format === 'oci-dir') await saveDirectory(store, roots, output, options, ctx)
  else if (split === undefined) await saveArchiveFile(store, roots, output, { ...options, form: flags.format }, ctx)
  else {
    const list = await saveParts(store, roots, output, split, { ...options, form: flags.format }, ctx)
    const path = partsListPath(output)
    const count = list.parts.length === 1 ? 'one part' : `${list.parts.length} parts`
    return { value: { output: path, ...list }, text: `${path}: ${count}, ${formatBytes(list.size)}` }
  }
  return { value: { output }, text: output }
}

// Before anything is fetched or read.
function wantPlace({ terminal }: Session, { format, output, split }: SaveFlags): void {
  if (format === 'oci-dir' && output === undefined)
    throw new CloudimgError('USAGE', 'saving as oci-dir: no directory is named', { hint: 'name one with --output' })
  if (split !== undefined && (format === 'oci-dir' || output === undefined)) {
    const why = format === 'oci-dir' ? 'a directory has no parts' : 'no file is named'
    throw new CloudimgError('USAGE', `saving in parts: ${why}`, {
      hint: format === 'oci-dir' ? 'leave out --split' : 'name one with --output: the parts are called after it',
    })
  }
  if (output === undefined && terminal.stdout.isTTY)
    throw new CloudimgError('USAGE', 'saving to a terminal: an archive is no text', {
      hint: 'name a file with --output, or pipe it',
    })
}

function tarForm({ format }: SaveFlags): ArchiveForm {
  return format === 'oci-dir' ? 'hybrid' : format
}

async function readInventories(
  { terminal }: Session,
  paths: readonly string[] | undefined,
): Promise<Inventory | undefined> {
  if (paths === undefined) return undefined
  const inventories: Inventory[] = []
  for (const path of paths) {
    const content = path === '-' ? await text(terminal.stdin) : (await readFileIfPresent(path))?.toString('utf8')
    if (content === undefined)
      throw new CloudimgError('FILE_ERROR', `reading the inventory "${path}": no such file or directory`, {
        hint: 'make it on the other side with: cloudimg inventory > inventory.txt',
      })
    inventories.push(parseInventory(content, `"${path}"`))
  }
  return mergeInventories(inventories)
}

/** docker sees one platform only: this machine's where it is among those saved. */
function platformOption({ platforms }: SaveFlags): Pick<SaveOptions, 'platform'> {
  const own = hostPlatform()
  if (platforms === undefined || platforms.some(platform => samePlatform(platform, own))) return {}
  return { platform: platforms[0]! }
}

export interface LoadFlags {
  readonly input?: readonly string[]
}

/** `cloudimg load`: every image of an archive of ours, docker's, podman's or skopeo's, by its own name. */
export async function load(session: Session, flags: LoadFlags): Promise<void> {
  const { ctx, terminal } = session
  if (flags.input === undefined && terminal.stdin.isTTY) {
    throw new CloudimgError('USAGE', 'loading from a terminal: there is nothing to read', {
      hint: 'name a file with --input, or pipe one in',
    })
  }
  const store = await session.store()
  const loaded = await loadArchives(flags.input ?? terminal.stdin, store, { temporary: store.layout.temporary }, ctx)
  session.answer({ loaded }, loaded.map(({ name, digest }) => `loaded ${name}@${digest}`).join('\n'))
}
