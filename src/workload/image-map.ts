import type { GuessReason } from './discovery.ts'
import { isComplete, isImageLike, isReference, readName } from './image-name.ts'
import { get, getText, type MapValue, type TextValue, type Value } from './value.ts'

/** An image that several keys make together. */
export interface Composition {
  readonly verdict: 'certain' | 'nothing' | Extract<GuessReason, 'no-version' | 'variable' | 'number-tag' | 'no-name'>
  readonly text: string
  /** The one that carries the name. */
  readonly value: Value
  /** The keys that are spoken for. */
  readonly used: readonly string[]
}

export interface MapSurroundings {
  readonly key: string
  readonly belowImage: boolean
  readonly isCustom: boolean
  readonly appVersion?: string
  readonly registry?: string
}

/** A map of `registry`, `repository` or `name`, `tag`, `digest`: the shapes that charts and operators use. */
export function composeMap(map: MapValue, around: MapSurroundings): Composition | undefined {
  const [repository, name, image] = [getText(map, 'repository'), getText(map, 'name'), getText(map, 'image')]
  if (repository !== undefined && image !== undefined) {
    const joined = { ...image, text: `${repository.text}/${image.text}` }
    const used = ['repository', 'image', 'version', 'digest', 'sha']
    return compose(joined, { tag: get(map, 'version'), digest: digestIn(map) }, used)
  }
  if (repository !== undefined && around.belowImage) return composeParts(map, repository, 'repository', around)
  const isNamed = isImageLike(around.key)
  if (name !== undefined && get(map, 'image') === undefined && isNamed) return composeParts(map, name, 'name', around)
  const tag = get(map, 'tag') ?? get(map, 'digest')
  const hub = getText(map, 'hub')
  if (around.isCustom && hub !== undefined && get(map, 'tag') !== undefined)
    return { verdict: 'no-name', text: hub.text, value: hub, used: ['hub', 'tag'] }
  const hasName = ['repository', 'name', 'image'].some(key => get(map, key) !== undefined)
  const text = tag === undefined ? '' : sourceOf(tag)
  if (isNamed && !hasName && tag !== undefined && text !== '')
    return { verdict: 'no-name', text, value: tag, used: ['tag', 'digest'] }
  return undefined
}

function composeParts(map: MapValue, name: TextValue, key: string, around: MapSurroundings): Composition {
  const used = [key, 'registry', 'tag', 'digest', 'sha']
  const written = getText(map, 'registry')
  const registry = written !== undefined && around.registry !== undefined ? around.registry : (written?.text ?? '')
  const tag = get(map, 'tag')
  const digest = digestIn(map)
  const isUntagged = digest === undefined && (tag === undefined || isEmpty(tag))
  const implied = isUntagged && around.appVersion !== undefined ? around.appVersion : undefined
  return compose(name, { registry, tag: implied ?? tag, digest }, used)
}

interface Parts {
  readonly registry?: string
  readonly tag: Value | string | undefined
  readonly digest: string | undefined
}

function compose(name: TextValue, { registry = '', tag, digest }: Parts, used: readonly string[]): Composition {
  if (name.text === '') return { verdict: 'nothing', text: '', value: name, used }
  if (isComplete(name.text)) return { verdict: 'certain', text: name.text, value: name, used }
  const version = tag === undefined ? '' : typeof tag === 'string' ? tag : sourceOf(tag)
  const tagDigest = version.startsWith('sha256:') ? version : undefined
  const path = registry === '' ? name.text : `${registry}/${name.text}`
  const tagPart = version === '' || tagDigest !== undefined ? '' : `:${version}`
  const at = digest ?? tagDigest
  const text = `${path}${tagPart}${at === undefined ? '' : `@${at}`}`
  const isNumber = typeof tag === 'object' && tag.kind === 'number'
  return { verdict: verdictOn(text, isNumber && digest === undefined), text, value: name, used }
}

function verdictOn(text: string, isNumberTag: boolean): Composition['verdict'] {
  switch (readName(text)) {
    case 'variable':
      return 'variable'
    case 'bare':
      return 'no-version'
    case 'complete':
    case 'qualified':
      return isNumberTag ? 'number-tag' : 'certain'
    case 'none':
      return 'nothing'
  }
}

/** A name with its tag beside it: `image` + `tag`, `xImage` + `xImageTag`, `imageRepository` + `imageTag`, `baseImage` + `sha`, `tag` or `version`. */
export function composeNeighbours(map: MapValue, taken: ReadonlySet<string>): readonly Composition[] {
  return map.entries.flatMap(([key, value]) => {
    if (value.kind !== 'text' || taken.has(key)) return []
    if (key === 'imageRepository') return [compose(value, { tag: get(map, 'imageTag'), digest: undefined }, [key])]
    if (key !== 'image' && !key.endsWith('Image')) return []
    if (!isReference(value.text) || isComplete(value.text)) return []
    const version = key === 'baseImage' ? baseVersion(map) : imageVersion(map, key)
    return version === undefined ? [] : [compose(value, version, [key])]
  })
}

function imageVersion(map: MapValue, key: string): Parts | undefined {
  const names = key === 'image' ? ['tag', 'imageTag'] : [`${key}Tag`]
  const tag = names.map(name => get(map, name)).find(value => value !== undefined && !isEmpty(value))
  const digest = key === 'image' ? digestOf(getText(map, 'digest')) : undefined
  return tag === undefined && digest === undefined ? undefined : { tag, digest }
}

/** In the order of prometheus-operator. */
function baseVersion(map: MapValue): Parts | undefined {
  const digest = digestOf(getText(map, 'sha'))
  if (digest !== undefined) return { tag: undefined, digest }
  const tag = ['tag', 'version'].map(key => get(map, key)).find(value => value !== undefined && !isEmpty(value))
  return tag === undefined ? undefined : { tag, digest: undefined }
}

function digestIn(map: MapValue): string | undefined {
  return digestOf(getText(map, 'digest')) ?? digestOf(getText(map, 'sha'))
}

function digestOf(value: TextValue | undefined): string | undefined {
  if (value === undefined || value.text === '') return undefined
  return /^[0-9a-f]{64}$/.test(value.text) ? `sha256:${value.text}` : value.text
}

function sourceOf(value: Value): string {
  if (value.kind === 'text') return value.text
  return value.kind === 'number' ? value.source : ''
}

function isEmpty(value: Value): boolean {
  return value.kind === 'text' ? value.text === '' : value.kind === 'other' && value.isNull
}
