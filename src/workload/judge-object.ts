import { type Findings, placeOf } from './findings.ts'
import { isComplete, isImageLike, isImagesLike, readName } from './image-name.ts'
import { judgeKubeletImage, judgePodSpec } from './judge-containers.ts'
import { judgeValues } from './judge-values.ts'
import { readYaml, type TextOrigin } from './read-yaml.ts'
import { get, getList, getMap, getText, keyField, type MapValue, type TextValue, type Value } from './value.ts'

export interface ObjectContext {
  readonly found: Findings
  /** `NAME-VERSION` of every chart that the tree has. */
  readonly charts: ReadonlySet<string>
  /** Whether it stands in a string already: what is in a string inside it is text. */
  readonly isEmbedded?: boolean
}

/** The documents of a file of manifests. */
export function judgeManifests(text: string, origin: TextOrigin, context: ObjectContext): void {
  for (const document of readYaml(text, origin)) {
    if ('problem' in document) context.found.cannotRead(document.problem, origin.file, document.line)
    else if (document.value === undefined) continue
    else if (document.value.kind === 'map' && getText(document.value, 'kind') !== undefined)
      judgeObject(document.value, context)
    else context.found.cannotRead('not-an-object', origin.file, document.line)
  }
}

/** Where each of Kubernetes' own kinds has its pod's spec. */
const podSpecs: Readonly<Record<string, readonly string[]>> = {
  Pod: ['spec'],
  PodTemplate: ['template', 'spec'],
  CronJob: ['spec', 'jobTemplate', 'spec', 'template', 'spec'],
  ...Object.fromEntries(
    ['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet', 'ReplicationController', 'Job'].map(kind => [
      kind,
      ['spec', 'template', 'spec'],
    ]),
  ),
}

/** Any object, by its kind. `inherited`: what a typed list says of its items. */
export function judgeObject(
  object: MapValue,
  context: ObjectContext,
  inherited?: { readonly apiVersion: string; readonly kind: string },
): void {
  const kind = getText(object, 'kind')?.text ?? inherited?.kind ?? ''
  const apiVersion = getText(object, 'apiVersion')?.text ?? inherited?.apiVersion ?? ''
  const group = apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : ''
  const isOwn = !group.includes('.') || (group.endsWith('.k8s.io') && !group.endsWith('.x-k8s.io'))
  if (kind.endsWith('List') && get(object, 'items') !== undefined) {
    const item = { apiVersion, kind: kind.slice(0, -'List'.length) }
    for (const value of getList(object, 'items')) if (value.kind === 'map') judgeObject(value, context, item)
  } else if (isOwn) judgeOwnKind(kind, object, context)
  else if (group === 'helm.cattle.io') judgeHelmChart(object, context)
  else judgeCustom(object, context)
}

function judgeOwnKind(kind: string, object: MapValue, context: ObjectContext): void {
  const path = podSpecs[kind]
  if (path !== undefined) {
    const spec = path.reduce<MapValue | undefined>((map, key) => map && getMap(map, key), object)
    if (spec !== undefined) judgePodSpec(spec, context.found)
  } else if (kind === 'ConfigMap') judgeConfigMap(object, context)
  else if (kind === 'CustomResourceDefinition') judgeDefaults(object, '', context.found)
}

function judgeCustom(object: MapValue, context: ObjectContext): void {
  const { found } = context
  const before = found.certain
  judgeValues(object, { isCustom: true, judgeObject: inner => judgeObject(inner, context) }, found)
  const spec = getMap(object, 'spec')
  const version = spec && get(spec, 'version')
  if (version === undefined || found.certain > before) return
  const text = version.kind === 'text' ? version.text : version.kind === 'number' ? version.source : ''
  if (/^v?\d/.test(text)) found.guess(text, 'version-only', placeOf(version))
}

function judgeConfigMap(object: MapValue, context: ObjectContext): void {
  const metadata = getMap(object, 'metadata')
  const annotations = metadata && getMap(metadata, 'annotations')
  const data = getMap(object, 'data')
  if (annotations === undefined || getText(annotations, 'cloudimg.io/images')?.text !== 'true' || data === undefined)
    return
  const { found } = context
  for (const [key, value] of data.entries) {
    if (value.kind !== 'text') continue
    if (isImageLike(key)) found.named(value)
    else if (isImagesLike(key)) found.namedList(value)
    else if (readName(value.text) === 'qualified') found.shaped(value)
    else if (context.isEmbedded !== true) judgeEmbedded(value, context)
  }
}

function judgeEmbedded(value: TextValue, context: ObjectContext): void {
  const inner: ObjectContext = { ...context, isEmbedded: true }
  for (const document of readYaml(value.text, originOf(value))) {
    if ('problem' in document || document.value?.kind !== 'map') continue
    if (getText(document.value, 'kind') !== undefined) judgeObject(document.value, inner)
    else
      judgeValues(document.value, { isCustom: false, judgeObject: object => judgeObject(object, inner) }, context.found)
  }
}

function originOf({ file, line, field, isLiteral }: TextValue): TextOrigin {
  return { file, line: isLiteral ? line + 1 : line, field: `${field} > `, ...(isLiteral ? {} : { isOneLine: true }) }
}

/** A CustomResourceDefinition: what its objects have unless they say otherwise. */
function judgeDefaults(value: Value, key: string, found: Findings): void {
  if (value.kind === 'list') for (const item of value.items) judgeDefaults(item, '', found)
  if (value.kind !== 'map') return
  const standard = isImageLike(key) ? getText(value, 'default') : undefined
  if (standard !== undefined && isComplete(standard.text)) found.guess(standard.text, 'crd-default', placeOf(standard))
  for (const [name, inner] of value.entries) {
    const isRecord = /(?:annotations|labels)$/i.test(name) && inner.kind === 'map' && key === 'metadata'
    if (!isRecord) judgeDefaults(inner, name, found)
  }
}

/** k3s' HelmChart and HelmChartConfig. */
function judgeHelmChart(object: MapValue, context: ObjectContext): void {
  const spec = getMap(object, 'spec')
  if (spec === undefined) return
  const { found } = context
  judgeKubeletImage(getText(spec, 'jobImage'), 'own', found)
  const values = getText(spec, 'valuesContent')
  if (values !== undefined) judgeValuesText(values, context)
  const set = getMap(spec, 'set')
  if (set !== undefined)
    judgeValues(undotted(set), { isCustom: false, judgeObject: inner => judgeObject(inner, context) }, found)
  const chart = getText(spec, 'chart')
  if (chart === undefined || chart.text === '') return
  const name = chart.text.slice(chart.text.lastIndexOf('/') + 1).replace(/\.tgz$/, '')
  if (!context.charts.has(name)) found.cannotRead('chart-not-in-tree', chart.file, chart.line)
}

function judgeValuesText(text: TextValue, context: ObjectContext): void {
  for (const document of readYaml(text.text, originOf(text))) {
    if ('problem' in document) context.found.cannotRead(document.problem, text.file, document.line)
    else if (document.value?.kind === 'map')
      judgeValues(document.value, { isCustom: false, judgeObject: inner => judgeObject(inner, context) }, context.found)
  }
}

/** `image.tag: "5"` as the maps that helm makes of it. */
function undotted(set: MapValue): MapValue {
  const { file, line } = set
  const top: MapValue & { entries: [string, Value][] } = { kind: 'map', file, line, field: set.field, entries: [] }
  for (const [dotted, value] of set.entries) {
    const keys = dotted.split(/(?<!\\)\./).map(key => key.replaceAll('\\.', '.'))
    let [map, field] = [top, `${set.field} > `]
    for (const key of keys.slice(0, -1)) {
      field = keyField(field, key)
      const known = getMap(map, key) as typeof top | undefined
      const next = known ?? { kind: 'map', file, line: value.line, field, entries: [] }
      if (known === undefined) map.entries.push([key, next])
      map = next
    }
    map.entries.push([keys.at(-1)!, { ...value, field: keyField(field, keys.at(-1)!) }])
  }
  return top
}
