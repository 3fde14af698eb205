import { isContainerdRunning } from './containerd.ts'
import { findImage, imageFacts, isImageId, listImages, type StoredImage } from './image-store.ts'
import { normaliseName, splitName } from './image-name.ts'
import { formatTable } from './kubectl-table.ts'
import { Exit, reasonOf, unknownToStandIn } from './log.ts'
import { containerdSocket } from './paths.ts'
import { pullImage } from './pull-image.ts'

/** An image as the CRI sees it: all names of one config. */
interface CriImage {
  readonly id: string
  readonly repoTags: readonly string[]
  readonly repoDigests: readonly string[]
  readonly size: string
  readonly uid: null
  readonly username: string
  readonly spec: null
  readonly pinned: boolean
}

export async function runCrictl(argv: readonly string[]): Promise<void> {
  const [verb = '', ...rest] = argv
  if (!['images', 'image', 'img', 'pull'].includes(verb)) throw unknownToStandIn(`crictl ${verb}`)
  if (!(await isContainerdRunning()))
    throw new Exit(
      1,
      `time="${new Date().toISOString()}" level=fatal msg="unable to determine image API version: rpc error: code = Unavailable desc = connection error: desc = \\"transport: Error while dialing dial unix ${containerdSocket}: connect: no such file or directory\\""`,
    )
  if (verb === 'pull') return await pull(rest)
  const { output, words } = parse(rest)
  const images = criImages().filter(image => words.length === 0 || words.some(word => isMeant(image, word)))
  if (output === 'json') return void process.stdout.write(`${JSON.stringify({ images }, undefined, 2)}\n`)
  if (output === 'quiet') return void process.stdout.write(images.map(({ id }) => `${id}\n`).join(''))
  const rows = images.flatMap(image =>
    (image.repoTags.length === 0 ? ['<none>:<none>'] : image.repoTags).map(name => {
      const { repository, tag = '<none>' } = splitName(name)
      return [repository, tag, image.id.slice('sha256:'.length, 'sha256:'.length + 13), sizeText(Number(image.size))]
    }),
  )
  process.stdout.write(formatTable({ columns: ['IMAGE', 'TAG', 'IMAGE ID', 'SIZE'], rows }))
}

async function pull([name = '', ...more]: readonly string[]): Promise<void> {
  if (name.startsWith('-') || more.length > 0) throw unknownToStandIn(`crictl pull ${[name, ...more].join(' ')}`)
  const full = normaliseName(name)
  try {
    await pullImage(full)
  } catch (error) {
    throw new Exit(1, `time="${new Date().toISOString()}" level=fatal msg="pulling image: ${reasonOf(error)}"`)
  }
  process.stdout.write(`Image is up to date for ${imageFacts(findImage(full)!.target).config}\n`)
}

function parse(argv: readonly string[]): { readonly output: string; readonly words: readonly string[] } {
  let output = 'table'
  const words: string[] = []
  for (let at = 0; at < argv.length; at++) {
    const arg = argv[at] ?? ''
    const value = /^(?:-o|--output)(?:=(.*))?$/.exec(arg)
    if (value !== null) output = value[1] ?? argv[++at] ?? ''
    else if (arg === '-q' || arg === '--quiet') output = 'quiet'
    else if (arg.startsWith('-')) throw unknownToStandIn(`crictl images ${arg}`)
    else words.push(arg)
  }
  if (!['table', 'json', 'quiet'].includes(output)) throw unknownToStandIn(`crictl images -o ${output}`)
  return { output, words }
}

function criImages(): readonly CriImage[] {
  const byId = Map.groupBy(
    listImages().filter(({ name }) => !isImageId(name)),
    image => imageFacts(image.target).config,
  )
  return [...byId].map(([id, names]) => ({
    id,
    repoTags: names.filter(hasTag).map(({ name }) => name),
    repoDigests: names.filter(({ name }) => name.includes('@')).map(({ name }) => name),
    size: String(imageFacts(names[0]?.target ?? '').size),
    uid: null,
    username: '',
    spec: null,
    pinned: names.some(({ labels }) => labels['io.cri-containerd.pinned'] === 'pinned'),
  }))
}

function hasTag({ name }: StoredImage): boolean {
  const { tag, digest } = splitName(name)
  return tag !== undefined && digest === undefined
}

function isMeant(image: CriImage, word: string): boolean {
  return [...image.repoTags, ...image.repoDigests, image.id].some(
    name => name === word || splitName(name).repository === word,
  )
}

function sizeText(bytes: number): string {
  if (bytes < 1000) return `${bytes}B`
  return bytes < 1_000_000 ? `${(bytes / 1000).toPrecision(3)}kB` : `${(bytes / 1_000_000).toPrecision(3)}MB`
}
