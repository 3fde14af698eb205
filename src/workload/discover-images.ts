import type { Context } from '../core/context.ts'
import { judgeCharts, readCharts } from './charts.ts'
import type { Discovery } from './discovery.ts'
import { Findings } from './findings.ts'
import { parseImageList } from './image-list.ts'
import { judgeManifests, type ObjectContext } from './judge-object.ts'
import type { RenderChart } from './render-chart.ts'
import type { WorkloadFile, WorkloadTree } from './workload-tree.ts'

/** The runtime's own list, as its release has it. */
export const runtimeListPath = 'images/k3s-images.txt'

/** Where the files of sealer's APP lie: manifests, or a chart. */
const applicationsPath = 'application/apps'

export interface DiscoverOptions {
  /** By values alone where absent. */
  readonly render?: RenderChart | undefined
}

/**
 * Which container images a rootfs asks for, and where: lists, manifests and charts, by parsing. What cannot be read is
 * told, never passed over. The rules are those of test/corpus/workload/README.md.
 */
export async function discoverImages(tree: WorkloadTree, options: DiscoverOptions, ctx: Context): Promise<Discovery> {
  const found = new Findings()
  const charts = await readCharts(tree, found)
  const names = new Set(charts.charts.map(({ name, version }) => `${name}-${version}`))
  const context: ObjectContext = { found, charts: names }
  for (const file of listsIn(tree)) {
    const { requests, wrongLines } = parseImageList((await tree.read(file)).toString('utf8'), file.path)
    found.add(requests)
    for (const { line } of wrongLines) found.cannotRead('bad-reference', file.path, line)
  }
  const chartFolders = charts.charts.map(({ root }) => `${root}/`)
  for (const file of [...tree.files('manifests'), ...tree.files(applicationsPath)]) {
    ctx.signal.throwIfAborted()
    if (chartFolders.some(folder => file.path.startsWith(folder))) continue
    if (!/\.(?:ya?ml|json)(?:\.tmpl)?$/i.test(file.path)) continue
    const text = (await tree.read(file)).toString('utf8')
    judgeManifests(text, { file: file.path, line: 1, field: '' }, context)
  }
  await judgeCharts(charts, context, options.render, ctx)
  return found.result()
}

/** The same of a single file of manifests. */
export function discoverInManifest(text: string, file: string): Discovery {
  const found = new Findings()
  judgeManifests(text, { file, line: 1, field: '' }, { found, charts: new Set() })
  return found.result()
}

function listsIn(tree: WorkloadTree): readonly WorkloadFile[] {
  return [
    ...tree.files('manifests').filter(({ path }) => path.toLowerCase() === 'manifests/imagelist'),
    ...tree.files('images').filter(({ path }) => path === runtimeListPath),
    ...tree.files('images/shim'),
  ]
}
