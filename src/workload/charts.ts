import type { Context } from '../core/context.ts'
import { compareBytes } from '../io/files.ts'
import { chartFolders, type ChartFiles, readChartFiles } from './chart-files.ts'
import { Findings } from './findings.ts'
import { judgeManifests, judgeObject, type ObjectContext } from './judge-object.ts'
import { judgeValues } from './judge-values.ts'
import { readYaml } from './read-yaml.ts'
import type { RenderChart } from './render-chart.ts'
import { get, getList, getMap, getText, type MapValue, type Value } from './value.ts'
import type { WorkloadTree } from './workload-tree.ts'

/** A chart as its files say it. */
export interface Chart {
  /** Of its folder, inside an archive too. */
  readonly root: string
  readonly name: string
  readonly version: string
  readonly appVersion: string | undefined
  readonly dependencies: readonly { readonly name: string; readonly alias: string | undefined }[]
  readonly values: MapValue | undefined
  readonly subcharts: readonly Chart[]
}

export interface Charts {
  readonly files: ChartFiles
  readonly charts: readonly Chart[]
}

/** The charts of the tree, subcharts inside theirs. */
export async function readCharts(tree: WorkloadTree, found: Findings): Promise<Charts> {
  const files = await readChartFiles(tree, path => found.cannotRead('broken-chart', path, 1))
  const roots = chartFolders.flatMap(folder => chartRoots(files, folder))
  const charts = await Promise.all(roots.map(root => readChart(files, root, found)))
  return { files, charts }
}

function chartRoots(files: ChartFiles, folder: string): readonly string[] {
  const escaped = folder.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)
  const pattern = new RegExp(`^(${escaped}/(?:[^/]+\\.tgz/)?[^/]+)/Chart\\.yaml$`)
  return [...files.keys()].flatMap(path => pattern.exec(path)?.[1] ?? []).sort(compareBytes)
}

async function readChart(files: ChartFiles, root: string, found: Findings): Promise<Chart> {
  const about = await readMap(files, `${root}/Chart.yaml`, found)
  const text = (key: string): string | undefined => {
    const value = about && get(about, key)
    return value?.kind === 'text' ? value.text : value?.kind === 'number' ? value.source : undefined
  }
  const subcharts = await Promise.all(chartRoots(files, `${root}/charts`).map(sub => readChart(files, sub, found)))
  return {
    root,
    name: text('name') ?? root.slice(root.lastIndexOf('/') + 1),
    version: text('version') ?? '',
    appVersion: text('appVersion'),
    dependencies: (about === undefined ? [] : getList(about, 'dependencies')).flatMap(entry =>
      entry.kind === 'map' ? [{ name: getText(entry, 'name')?.text ?? '', alias: getText(entry, 'alias')?.text }] : [],
    ),
    values: await readMap(files, `${root}/values.yaml`, found),
    subcharts,
  }
}

async function readMap(files: ChartFiles, file: string, found: Findings): Promise<MapValue | undefined> {
  const read = files.get(file)
  if (read === undefined) return undefined
  for (const document of readYaml((await read()).toString('utf8'), { file, line: 1, field: '' })) {
    if ('problem' in document) found.cannotRead(document.problem, file, document.line)
    else if (document.value?.kind === 'map') return document.value
  }
  return undefined
}

/**
 * The images of all charts: by their values, and by their templates as far as those are plain YAML. Where helm can render
 * a chart, what it renders counts too, and no template is left in doubt.
 */
export async function judgeCharts(
  { files, charts }: Charts,
  context: ObjectContext,
  render: RenderChart | undefined,
  ctx: Context,
): Promise<void> {
  for (const chart of charts) {
    const rendered = await render?.(files, chart.root, ctx)
    const own = new Findings()
    const inner = { ...context, found: own }
    judgeChart(chart, undefined, undefined, inner)
    await judgeFiles(files, chart, inner, rendered !== undefined)
    if (rendered !== undefined) addRendered(rendered, chart, inner)
    context.found.merge(own)
    context.found.chart({ chart: chart.root, by: rendered === undefined ? 'values' : 'helm' })
  }
}

function judgeChart(
  chart: Chart,
  fromParent: Value | undefined,
  parentGlobal: MapValue | undefined,
  context: ObjectContext,
): void {
  const values = overlay(chart.values, fromParent)
  if (values?.kind !== 'map') {
    for (const subchart of chart.subcharts) judgeChart(subchart, undefined, parentGlobal, context)
    return
  }
  const own = getMap(values, 'global')
  const global = overlay(own, parentGlobal) as MapValue | undefined
  const registry = global && getText(global, 'imageRegistry')?.text
  const keysOf = (subchart: Chart): readonly string[] => {
    const named = chart.dependencies.filter(({ name }) => name === subchart.name)
    return named.length === 0 ? [subchart.name] : named.map(({ name, alias }) => alias ?? name)
  }
  const subKeys = new Set(chart.subcharts.flatMap(keysOf))
  const mode = {
    isCustom: false,
    ...(chart.appVersion === undefined || chart.appVersion === '' ? {} : { appVersion: chart.appVersion }),
    ...(registry === undefined || registry === '' ? {} : { registry }),
    judgeObject: (object: MapValue) => judgeObject(object, context),
  }
  const ownValues = { ...values, entries: values.entries.filter(([key]) => !subKeys.has(key)) }
  judgeValues(ownValues, mode, context.found)
  for (const subchart of chart.subcharts)
    for (const key of keysOf(subchart)) judgeChart(subchart, get(values, key), global, context)
}

/** Helm's rule: maps are joined, anything else replaces, null removes. */
function overlay(below: Value | undefined, above: Value | undefined): Value | undefined {
  if (above === undefined) return below
  if (above.kind === 'other' && above.isNull) return undefined
  if (below?.kind !== 'map' || above.kind !== 'map') return above
  const keys = [...new Set([...below.entries, ...above.entries].map(([key]) => key))]
  const entries = keys.flatMap((key): [string, Value][] => {
    const value = overlay(get(below, key), get(above, key))
    return value === undefined ? [] : [[key, value]]
  })
  return { ...below, entries }
}

async function judgeFiles(files: ChartFiles, chart: Chart, context: ObjectContext, isRendered: boolean): Promise<void> {
  for (const [path, read] of files) {
    if (!path.startsWith(`${chart.root}/`)) continue
    const inside = path.slice(chart.root.length + 1)
    const isTemplate = /^templates\/(?:.*\/)?[^_/][^/]*\.ya?ml$/.test(inside)
    if (!isTemplate && !/^crds\/.*\.(?:ya?ml|json)$/.test(inside)) continue
    const text = (await read()).toString('utf8')
    const brace = isTemplate ? text.indexOf('{{') : -1
    if (brace < 0) judgeManifests(text, { file: path, line: 1, field: '' }, context)
    else if (!isRendered) context.found.cannotRead('chart-template', path, text.slice(0, brace).split('\n').length)
  }
  for (const subchart of chart.subcharts) await judgeFiles(files, subchart, context, isRendered)
}

/** What helm's output asks for beside what the values tell. `# Source: name/templates/x.yaml` says where it comes from. */
function addRendered(rendered: string, chart: Chart, context: ObjectContext): void {
  const own = new Findings()
  for (const part of rendered.split(/^(?=---(?:\s|$))/m)) {
    const source = /^# Source: [^/\n]+\/(.+)$/m.exec(part)?.[1]
    const file = source === undefined ? chart.root : `${chart.root}/${source}`
    judgeManifests(part, { file, line: 1, field: '', isOneLine: true }, { ...context, found: own })
  }
  const known = new Set(context.found.result().requests.map(({ image }) => image))
  const { requests, guesses } = own.result()
  context.found.add(requests.filter(({ image }) => !known.has(image)))
  for (const guess of guesses) context.found.guess(guess.text, guess.why, guess)
}
