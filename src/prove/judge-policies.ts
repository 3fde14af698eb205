import { nodeName, parseReference } from '../core/reference.ts'
import type { Discovery, Place } from '../workload/discovery.ts'
import { runtimeListPath, discoverInManifest } from '../workload/discover-images.ts'
import type { ImageRequest } from '../workload/image-request.ts'
import { readYaml, type TextOrigin } from '../workload/read-yaml.ts'
import { get, getList, getText, type MapValue, type TextValue, type Value } from '../workload/value.ts'
import type { Gaps } from './gaps.ts'
import type { ScriptJudge } from './judge-scripts.ts'

/** Text that becomes objects of the cluster: a manifest, a chart's values, or what helm made of a chart. */
export interface ObjectText {
  readonly file: string
  readonly text: string
  /** Made by helm: its lines are those of no file. */
  readonly isRendered?: true
}

const policyKeys = new Set(['imagePullPolicy', 'pullPolicy', 'image_pull_policy'])

/**
 * A pull policy of Always has the node ask a registry for what it has already; `:latest` without a policy is the same
 * (kubernetes.io, "Images", "Default image pull policy"). Scripts that containers start are read on the way.
 */
export function judgeObjects(
  texts: readonly ObjectText[],
  discovery: Discovery,
  renderedCharts: ReadonlySet<string>,
  scripts: ScriptJudge,
  gaps: Gaps,
): void {
  const walk = new ObjectWalk(scripts, gaps)
  const requests: ImageRequest[] = discovery.requests.filter(
    ({ file, source }) => source === undefined && !isList(file) && !isBelow(file, renderedCharts),
  )
  for (const { text, file, isRendered } of texts) {
    walk.text(text, { file, line: 1, field: '', ...(isRendered === true ? { isOneLine: true } : {}) })
    if (isRendered === true) requests.push(...discoverInManifest(text, file).requests)
  }
  for (const request of requests) {
    if (!isLatest(request.image) || walk.hasPolicy(request)) continue
    gaps.add('pull-policy', `${nodeName(parseReference(request.image))} (${request.file})`, implied, request)
  }
}

const implied = 'an image of ":latest" without imagePullPolicy: nodes ask the registry each time'

function isList(file: string): boolean {
  return file === runtimeListPath || file.startsWith('images/shim/') || /^manifests\/imagelist$/i.test(file)
}

function isBelow(file: string, roots: ReadonlySet<string>): boolean {
  return [...roots].some(root => file.startsWith(`${root}/`))
}

function isLatest(image: string): boolean {
  const { tag, digest } = parseReference(image)
  return digest === undefined && (tag ?? 'latest') === 'latest'
}

class ObjectWalk {
  readonly #scripts: ScriptJudge
  readonly #gaps: Gaps
  /** Maps with a policy of their own that is not Always: `file field`. */
  readonly #settled = new Set<string>()

  constructor(scripts: ScriptJudge, gaps: Gaps) {
    this.#scripts = scripts
    this.#gaps = gaps
  }

  text(text: string, origin: TextOrigin): void {
    for (const document of readYaml(text, origin))
      if ('value' in document && document.value !== undefined) this.#value(document.value, '')
  }

  /** Beside the image, or in the map that it is a part of. */
  hasPolicy({ file, field }: Place): boolean {
    if (field.endsWith(']')) return false
    const parent = parentOf(field)
    return (
      this.#settled.has(`${file} ${parent}`) ||
      (/image$/i.test(parent) && this.#settled.has(`${file} ${parentOf(parent)}`))
    )
  }

  #value(value: Value, key: string): void {
    if (value.kind === 'list') for (const item of value.items) this.#item(item, key)
    else if (value.kind === 'map') this.#map(value)
    else if (value.kind === 'text' && key === 'valuesContent') this.#embedded(value)
  }

  #item(item: Value, key: string): void {
    if (item.kind === 'map' && /^(?:c|initC|ephemeralC)ontainers$/.test(key)) this.#container(item)
    this.#value(item, key)
  }

  #map(map: MapValue): void {
    for (const [key, value] of map.entries) {
      if (policyKeys.has(key) && value.kind === 'text') this.#policy(map, value, key)
      else if (!/(?:annotations|labels)$/i.test(key)) this.#value(value, key)
    }
  }

  #policy(map: MapValue, value: TextValue, key: string): void {
    if (value.text !== 'Always') {
      if (value.text !== '') this.#settled.add(`${value.file} ${map.field}`)
      return
    }
    // It is not `:latest` that is wrong here.
    this.#settled.add(`${value.file} ${map.field}`)
    const name = imageBeside(map) ?? value.field
    this.#gaps.add(
      'pull-policy',
      `${name} (${value.file})`,
      `${key}: Always has nodes ask the registry each time`,
      value,
    )
  }

  #embedded({ text, file, line, field, isLiteral }: TextValue): void {
    this.text(text, {
      file,
      line: isLiteral ? line + 1 : line,
      field: `${field} > `,
      ...(isLiteral ? {} : { isOneLine: true }),
    })
  }

  /** `command: [sh, -c, …]`, or a program that fetches. */
  #container(container: MapValue): void {
    const words = [...getList(container, 'command'), ...getList(container, 'args')].filter(word => word.kind === 'text')
    const [first] = words
    if (first === undefined) return
    const at = words.findIndex(({ text }) => /^-\w*c$/.test(text))
    const script = /^(?:.*\/)?(?:ba|da|a|k|z)?sh$/.test(first.text) && at > 0 ? words[at + 1] : undefined
    if (script === undefined) {
      const texts = words.map(({ text }) => text)
      this.#scripts.judgeWords(texts, { file: first.file, line: first.line, field: first.field, inCluster: true })
    } else {
      const line = script.isLiteral ? script.line + 1 : script.line
      this.#scripts.judge(script.text, { file: script.file, line, field: script.field, inCluster: true })
    }
  }
}

function imageBeside(map: MapValue): string | undefined {
  const image = getText(map, 'image')?.text ?? getText(map, 'repository')?.text
  if (image === undefined) return undefined
  const tag = get(map, 'tag')
  const text = tag?.kind === 'text' ? tag.text : tag?.kind === 'number' ? tag.source : undefined
  return text === undefined || text === '' ? image : `${image}:${text}`
}

function parentOf(field: string): string {
  const at = Math.max(field.lastIndexOf('.'), field.lastIndexOf('["'))
  return at < 0 ? (field.includes(' > ') ? field.slice(0, field.lastIndexOf(' > ') + 3) : '') : field.slice(0, at)
}
