import { type Context, withTask } from '../core/context.ts'
import type { Digest } from '../core/digest.ts'
import { formatPlatform } from '../core/platform.ts'
import type { DeployImage } from '../deploy/deploy-image.ts'
import { discoverImages } from '../workload/discover-images.ts'
import type { Discovery, UnreadableReason } from '../workload/discovery.ts'
import type { RenderChart } from '../workload/render-chart.ts'
import { type Bundle, openBundle } from './bundle.ts'
import { type Doubt, type Gap, Gaps } from './gaps.ts'
import { judgeApplications, judgeListedFiles, judgeMachines, judgeRuntimeFiles } from './judge-files.ts'
import { judgeImages, readRuntimeArchive } from './judge-images.ts'
import { judgeLayout } from './judge-layout.ts'
import { judgeObjects, type ObjectText } from './judge-policies.ts'
import { ScriptJudge } from './judge-scripts.ts'
import { commandPlace, kubefileLines, launchPlace } from './kubefile-lines.ts'

/** One platform, deployed in thought on hosts that reach nobody but each other. */
export interface PlatformProof {
  readonly platform: string
  readonly digest: Digest
  readonly proven: boolean
  readonly gaps: readonly Gap[]
  readonly doubts: readonly Doubt[]
  readonly checked: {
    /** Container images that somebody asks for. */
    readonly images: number
    readonly blobs: number
    readonly files: number
    readonly scripts: number
    readonly commands: number
    readonly programs: number
  }
}

export interface Proof {
  readonly reference: string
  readonly digest: Digest
  readonly proven: boolean
  readonly platforms: readonly PlatformProof[]
}

export async function proveImage(image: DeployImage, render: RenderChart, ctx: Context): Promise<Proof> {
  const platforms: PlatformProof[] = []
  for (const platform of image.platforms) {
    const title = `proving ${image.reference} for ${formatPlatform(platform.platform)}`
    platforms.push(
      await withTask(ctx, title, async () => await proveBundle(await openBundle(platform, ctx), render, ctx)),
    )
  }
  const { reference, digest } = image
  return { reference, digest, proven: platforms.every(({ proven }) => proven), platforms }
}

/** What it lacks, and who asks for it. Reads the bundle alone. */
export async function proveBundle(bundle: Bundle, render: RenderChart, ctx: Context): Promise<PlatformProof> {
  const gaps = new Gaps()
  const scripts = new ScriptJudge(bundle, gaps)
  const rendered: ObjectText[] = []
  const renderedCharts = new Set<string>()
  const keeping: RenderChart = async (files, root, context) => {
    const text = await render(files, root, context)
    if (text === undefined) return undefined
    renderedCharts.add(root)
    rendered.push(...renderedParts(text, root))
    return text
  }
  const discovery = await discoverImages(bundle.workloads(ctx), { render: keeping }, ctx)
  judgeReading(discovery, gaps)
  const files = await judgeListedFiles(bundle, gaps, ctx)
  await judgeRuntimeFiles(bundle, gaps, ctx)
  await scripts.judgeAll(ctx)
  await judgeLaunch(bundle, scripts, gaps, ctx)
  judgeObjects(
    [...(await objectTexts(bundle, renderedCharts, ctx)), ...rendered],
    discovery,
    renderedCharts,
    scripts,
    gaps,
  )
  for (const { image, mayPull, ...place } of scripts.images)
    if (mayPull)
      gaps.add('pull-policy', `${image} (${place.file})`, 'it is started with a pull policy of Always', place)
  const layout = await judgeLayout(bundle, gaps, ctx)
  const supply = { laid: layout.names, archive: await readRuntimeArchive(bundle, gaps, ctx) }
  const images = judgeImages(bundle, discovery, scripts.images, supply, gaps)
  const programs = await judgeMachines(bundle, gaps, ctx)
  for (const why of bundle.metadata.unsealed)
    gaps.doubt(`not sealed: ${why}`, { file: 'Metadata', line: 0, field: 'unsealed' })
  const found = gaps.result()
  return {
    platform: formatPlatform(bundle.platform),
    digest: bundle.digest,
    proven: found.gaps.length === 0,
    ...found,
    checked: { images, blobs: layout.blobs, files, scripts: scripts.scripts, commands: scripts.commands, programs },
  }
}

/** What may ask for images that nobody knows of. */
const hiding: Readonly<Partial<Record<UnreadableReason, string>>> = {
  'broken-yaml': 'it is no YAML, so nobody knows what it asks for',
  template: 'it is a template, so nobody knows what it asks for',
  'bad-reference': 'what stands there is no image’s name',
  'chart-not-in-tree': 'the chart is not in the bundle: it would be fetched',
  'broken-chart': 'the chart cannot be read',
}

function judgeReading({ unreadable, guesses }: Discovery, gaps: Gaps): void {
  for (const { file, line, why } of unreadable) {
    const place = { file, line, field: '' }
    const message = hiding[why]
    if (message !== undefined) gaps.add('unreadable', `${file}:${line}`, message, place)
    else if (why === 'chart-template')
      gaps.doubt('a chart’s template: only its values were read, there is no helm here', place)
  }
  for (const { text, why, ...place } of guesses) gaps.doubt(`this may be a container image: ${text} (${why})`, place)
}

/** What the first server starts, with the rootfs as the working directory. */
async function judgeLaunch(bundle: Bundle, scripts: ScriptJudge, gaps: Gaps, ctx: Context): Promise<void> {
  const { launch, applications = [] } = bundle.metadata
  const lines = kubefileLines((await bundle.readText('Kubefile', ctx)) ?? '')
  const place = launchPlace(lines)
  judgeApplications(bundle, place, gaps)
  for (const command of launch?.commands ?? []) scripts.judge(command, { ...place, directory: '.' })
  for (const { name, command } of applications)
    if (command !== undefined)
      scripts.judgeWords(command, { ...commandPlace(lines, name), directory: `application/apps/${name}` })
}

async function objectTexts(
  bundle: Bundle,
  renderedCharts: ReadonlySet<string>,
  ctx: Context,
): Promise<readonly ObjectText[]> {
  const texts: ObjectText[] = []
  for (const { path } of bundle.files()) {
    if (!/^(?:manifests|charts|application)\//.test(path) || !/\.(?:ya?ml|json)(?:\.tmpl)?$/i.test(path)) continue
    if ([...renderedCharts].some(root => path.startsWith(`${root}/`))) continue
    texts.push({ file: path, text: (await bundle.readText(path, ctx)) ?? '' })
  }
  return texts
}

/** `# Source: name/templates/x.yaml` says where each object comes from. */
function renderedParts(text: string, root: string): readonly ObjectText[] {
  return text.split(/^(?=---(?:\s|$))/m).map(part => {
    const source = /^# Source: [^/\n]+\/(.+)$/m.exec(part)?.[1]
    return { file: source === undefined ? root : `${root}/${source}`, text: part, isRendered: true }
  })
}
