import { type Findings, placeOf } from './findings.ts'
import { composeMap, type Composition, composeNeighbours } from './image-map.ts'
import { isComplete, isImageLike, isImagesLike } from './image-name.ts'
import {
  isArgsList,
  isContainerList,
  isEnvList,
  judgeArgs,
  judgeEnv,
  judgeImageVolumes,
  judgeKubeletImage,
} from './judge-containers.ts'
import { getText, type MapValue, type Value } from './value.ts'

/** How a tree of values is read. */
export interface ValuesMode {
  /** A custom object knows more than a chart's values do: containers, URLs, outputs. */
  readonly isCustom: boolean
  /** What a chart's maps without a tag have. */
  readonly appVersion?: string
  /** `global.imageRegistry`. */
  readonly registry?: string
  /** For a map that is an object of its own kind. */
  readonly judgeObject: (object: MapValue) => void
}

interface Position {
  /** The key that it stands under; empty in a list and at the top. */
  readonly key: string
  /** Whether that key or one above it means images. */
  readonly belowImage: boolean
  readonly isOutput: boolean
  readonly isTop: boolean
}

/** The whole of a custom object, or of a chart's values: fields that mean images, whatever they belong to. */
export function judgeValues(values: MapValue, mode: ValuesMode, found: Findings): void {
  new Walk(mode, found).map(values, { key: '', belowImage: false, isOutput: false, isTop: true })
}

const probes = new Set(['livenessProbe', 'readinessProbe', 'startupProbe', 'lifecycle'])

class Walk {
  readonly #mode: ValuesMode
  readonly #found: Findings

  constructor(mode: ValuesMode, found: Findings) {
    this.#mode = mode
    this.#found = found
  }

  map(map: MapValue, at: Position, skipped: ReadonlySet<string> = new Set()): void {
    const isObject = getText(map, 'apiVersion') !== undefined && getText(map, 'kind') !== undefined
    if (!at.isTop && isObject) return this.#mode.judgeObject(map)
    const used = new Set([...skipped, ...this.#judgeMap(map, at)])
    for (const [key, value] of map.entries) {
      if (used.has(key) || this.#isRecord(key, at)) continue
      this.#entry(key, value, at)
    }
  }

  /** Annotations, labels, metadata and an object's status are records, not requests. */
  #isRecord(key: string, { isTop }: Position): boolean {
    return (
      /(?:annotations|labels)$/i.test(key) || key === 'metadata' || (isTop && this.#mode.isCustom && key === 'status')
    )
  }

  #judgeMap(map: MapValue, at: Position): readonly string[] {
    const imageStream = getText(map, 'kind')?.text === 'DockerImage' ? getText(map, 'name') : undefined
    if (imageStream !== undefined) {
      this.#found.named(imageStream)
      return ['name']
    }
    const { isCustom, appVersion, registry } = this.#mode
    const composed = composeMap(map, {
      ...at,
      isCustom,
      ...(appVersion === undefined ? {} : { appVersion }),
      ...(registry === undefined ? {} : { registry }),
    })
    if (composed !== undefined) this.#composition(composed, at)
    const neighbours = composeNeighbours(map, new Set(composed?.used ?? []))
    for (const pair of neighbours) this.#composition(pair, at)
    return [...(composed?.used ?? []), ...neighbours.flatMap(({ used }) => used)]
  }

  #composition({ verdict, text, value }: Composition, at: Position): void {
    const place = placeOf(value)
    if (verdict === 'nothing') return
    if (verdict !== 'certain') {
      if (!at.isOutput) this.#found.guess(text, verdict, place)
    } else if (at.isOutput) this.#found.guess(text, 'output', place)
    else this.#found.request(text, place)
  }

  #entry(key: string, value: Value, at: Position): void {
    const below: Position = {
      key,
      belowImage: at.belowImage || isImageLike(key) || isImagesLike(key),
      isOutput: at.isOutput || (this.#mode.isCustom && /^outputs?$/.test(key)),
      isTop: false,
    }
    if (value.kind === 'text') return this.#text(key, value, below, isImagesLike(at.key))
    if (isEnvList(key)) judgeEnv(value, this.#found)
    else if (value.kind === 'map') this.map(value, below)
    else if (value.kind === 'list') this.#list(key, value.items, below)
  }

  #text(key: string, value: Value & { kind: 'text' }, at: Position, isOneOfImages: boolean): void {
    if (isImageLike(key) || isOneOfImages) this.#named(value, at)
    else if (this.#mode.isCustom && value.text.startsWith('docker://'))
      this.#found.guess(value.text, 'docker-url', placeOf(value))
  }

  #named(value: Value & { kind: 'text' }, { isOutput }: Position): void {
    if (!isOutput) return this.#found.named(value)
    if (isComplete(value.text)) this.#found.guess(value.text, 'output', placeOf(value))
  }

  #list(key: string, items: readonly Value[], at: Position): void {
    if (isArgsList(key)) return judgeArgs(items, this.#found)
    const isContainers = this.#mode.isCustom && isContainerList(key)
    if (this.#mode.isCustom && key === 'volumes') judgeImageVolumes(items, 'custom', this.#found)
    for (const item of items) {
      if (item.kind === 'text') this.#text(isImagesLike(key) ? 'image' : '', item, at, false)
      else if (item.kind === 'list') this.#list('', item.items, { ...at, key: '' })
      else if (item.kind === 'map') {
        if (/^param(?:eter)?s$/.test(key) && this.#parameter(item)) continue
        const image = isContainers ? getText(item, 'image') : undefined
        if (image !== undefined) judgeKubeletImage(image, 'custom', this.#found)
        const skipped = isContainers
          ? new Set([...probes, ...(image === undefined ? [] : ['image'])])
          : new Set<string>()
        this.map(item, { ...at, key: '' }, skipped)
      }
    }
  }

  #parameter(item: MapValue): boolean {
    const name = getText(item, 'name')?.text ?? ''
    const value = getText(item, 'value') ?? getText(item, 'default')
    if (!isImageLike(name) || value === undefined || !isComplete(value.text)) return false
    this.#found.guess(value.text, 'parameter', placeOf(value))
    return true
  }
}
