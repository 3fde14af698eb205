import { createReadStream, existsSync } from 'node:fs'
import { isContainerdRunning } from './containerd.ts'
import { gunzip, unzstd } from './decompress.ts'
import { readImageArchive } from './image-archive.ts'
import { findImage, imageFacts, listImages, putImage, removeImage, type StoredImage } from './image-store.ts'
import { formatTable } from './kubectl-table.ts'
import { Exit, log, reasonOf, unknownToStandIn } from './log.ts'
import { containerdSocket } from './paths.ts'
import { profile } from './version.ts'

/** `k3s ctr [-n k8s.io] images import|ls|label|rm`. (facts/k3s.md §4.4) */
export async function runCtr(argv: readonly string[]): Promise<void> {
  const { words, flags } = parse(argv)
  const namespace = flags.get('namespace') ?? 'k8s.io'
  if (namespace !== 'k8s.io') throw unknownToStandIn(`ctr namespace "${namespace}"`)
  const [noun = '', verb = '', ...rest] = words
  if (!['images', 'image', 'i'].includes(noun)) throw unknownToStandIn(`ctr ${noun}`)
  if (!(await isContainerdRunning()))
    throw new Exit(1, `ctr: failed to dial "${containerdSocket}": context deadline exceeded`)
  try {
    await onImages(verb, rest, flags)
  } catch (error) {
    throw error instanceof Exit ? error : new Exit(1, `ctr: ${reasonOf(error)}`)
  }
}

async function onImages(verb: string, rest: readonly string[], flags: ReadonlyMap<string, string>): Promise<void> {
  if (verb === 'import') return await importArchive(rest[0] ?? '', flags)
  if (verb === 'ls' || verb === 'list') return list(rest, flags.has('quiet'))
  if (verb === 'label') return label(rest[0] ?? '', rest.slice(1))
  if (['rm', 'remove', 'del', 'delete'].includes(verb)) return remove(rest)
  throw unknownToStandIn(`ctr images ${verb}`)
}

const switches: Readonly<Record<string, string>> = {
  '-q': 'quiet',
  '--quiet': 'quiet',
  '--all-platforms': 'all-platforms',
  '--no-unpack': 'no-unpack',
  '--local': 'local',
  '--digests': 'digests',
  '--sync': 'sync',
}
const valued: Readonly<Record<string, string>> = {
  '-n': 'namespace',
  '--namespace': 'namespace',
  '-a': 'address',
  '--address': 'address',
  '--base-name': 'base-name',
  '--platform': 'platform',
}

function parse(argv: readonly string[]): {
  readonly words: readonly string[]
  readonly flags: ReadonlyMap<string, string>
} {
  const words: string[] = []
  const flags = new Map<string, string>()
  for (let at = 0; at < argv.length; at++) {
    const [arg, inline] = splitFlag(argv[at] ?? '')
    const [flag, withValue] = [switches[arg], valued[arg]]
    if (flag !== undefined) flags.set(flag, 'true')
    else if (withValue !== undefined) flags.set(withValue, inline ?? argv[++at] ?? '')
    else if (arg.startsWith('-') && arg !== '-') throw unknownToStandIn(`ctr ${arg}`)
    else words.push(argv[at] ?? '')
  }
  return { words, flags }
}

function splitFlag(arg: string): readonly [string, string | undefined] {
  const at = arg.startsWith('--') ? arg.indexOf('=') : -1
  return at < 0 ? [arg, undefined] : [arg.slice(0, at), arg.slice(at + 1)]
}

async function importArchive(source: string, flags: ReadonlyMap<string, string>): Promise<void> {
  const base = flags.get('base-name')
  const today = new Date().toISOString().slice(0, 10)
  // containerd's own translators: without a base name a bare ref name becomes a tag of "import-<date>".
  const translateRefName = (refName: string): string | undefined => {
    if (refName.includes('/')) return base === undefined || refName.startsWith(base) ? refName : undefined
    return `${base ?? `import-${today}`}:${refName}`
  }
  const input = source === '-' ? process.stdin : readFileStream(source)
  const images = await readImageArchive(await uncompressed(input), {
    allPlatforms: flags.has('all-platforms'),
    toleratesMissing: profile.toleratesMissingPlatforms,
    translateRefName,
  })
  for (const image of images) {
    const before = findImage(image.name)
    putImage({ ...image, labels: before?.labels ?? {} })
    process.stdout.write(`unpacking ${image.name} (${image.target})...done\n`)
  }
  if (flags.has('digests')) for (const image of images) putImage(digestName(image))
}

/** @throws in Go's words where it cannot be opened. */
function readFileStream(path: string): AsyncIterable<Uint8Array> {
  if (!existsSync(path)) throw new Error(`open ${path}: no such file or directory`)
  return createReadStream(path)
}

function digestName(image: StoredImage): StoredImage {
  return { ...image, name: `${image.name.replace(/:[^/:]+$/, '')}@${image.target}` }
}

/** containerd 2 looks at the content; before, only a plain tar is taken. */
async function uncompressed(input: AsyncIterable<Uint8Array>): Promise<AsyncIterable<Uint8Array>> {
  if (!profile.containerd2) return input
  const iterator = input[Symbol.asyncIterator]()
  const first = await iterator.next()
  const head = first.done === true ? Buffer.alloc(0) : Buffer.from(first.value)
  const whole = async function* (): AsyncGenerator<Uint8Array> {
    yield head
    yield* { [Symbol.asyncIterator]: () => iterator }
  }
  if (head.subarray(0, 2).equals(Buffer.from([0x1f, 0x8b]))) return gunzip(whole())
  if (head.subarray(0, 4).equals(Buffer.from([0x28, 0xb5, 0x2f, 0xfd]))) return unzstd(whole())
  return whole()
}

function list(filters: readonly string[], isQuiet: boolean): void {
  const wanted = filters.map(filter => {
    const name = /^name==(.*)$/.exec(filter)?.[1]
    if (name === undefined) throw unknownToStandIn(`ctr filter "${filter}"`)
    return name
  })
  const images = listImages().filter(({ name }) => wanted.length === 0 || wanted.includes(name))
  if (isQuiet) return void process.stdout.write(images.map(({ name }) => `${name}\n`).join(''))
  const rows = images.map(({ name, mediaType, target, labels }) => {
    const size = `${(imageFacts(target).size / 1024 / 1024).toFixed(1)} MiB`
    return [name, mediaType, target, size, 'linux', labelText(labels) || '-']
  })
  process.stdout.write(formatTable({ columns: ['REF', 'TYPE', 'DIGEST', 'SIZE', 'PLATFORMS', 'LABELS'], rows }))
}

function label(name: string, changes: readonly string[]): void {
  const image = findImage(name)
  if (image === undefined) throw new Error(`image ${JSON.stringify(name)}: not found`)
  const labels = { ...image.labels }
  for (const change of changes) {
    const [key = '', ...value] = change.split('=')
    if (value.join('=') === '') delete labels[key]
    else labels[key] = value.join('=')
  }
  putImage({ ...image, labels })
  process.stdout.write(`${labelText(labels)}\n`)
}

/** A name that is missing is only a warning, exit code 0. (seen on v1.21.2) */
function remove(names: readonly string[]): void {
  for (const name of names) {
    if (removeImage(name)) process.stdout.write(`${name}\n`)
    else log('warning', `${name}: image not found`)
  }
}

function labelText(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(',')
}
