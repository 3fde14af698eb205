import { CloudimgError } from '../core/error.ts'
import { formatPlatform, parsePlatform, type Platform } from '../core/platform.ts'

type Strings = Readonly<Record<string, string>>

/** What the command line adds to what the Kubefile says. */
export interface ImageAdditions {
  readonly labels: Strings
  readonly annotations: readonly Annotation[]
}

const places = ['index', 'manifest', 'manifest-descriptor'] as const

/** `manifest-descriptor`: the index's entry for the manifest. */
type AnnotationPlace = (typeof places)[number]

export const noAdditions: ImageAdditions = { labels: {}, annotations: [] }

export interface Annotation {
  readonly place: AnnotationPlace
  /** Only of this platform's manifest. */
  readonly platform: Platform | undefined
  readonly name: string
  readonly value: string
}

/**
 * `NAME=VALUE` for the manifests, or behind where it goes, as buildx has it: `index:NAME=VALUE`,
 * `index,manifest[linux/arm64]:NAME=VALUE`. @throws USAGE
 */
export function parseAnnotation(text: string): readonly Annotation[] {
  const fail = (why: string): never => {
    throw new CloudimgError('USAGE', `reading --annotation "${text}": ${why}`, {
      hint: 'write NAME=VALUE, index:NAME=VALUE or manifest[linux/arm64]:NAME=VALUE',
    })
  }
  const [, where = 'manifest', name = '', value] = /^(?:([a-z,[\]/0-9-]+):)?([^=]*)(?:=(.*))?$/s.exec(text) ?? []
  if (name === '' || value === undefined) fail('it has not the form NAME=VALUE')
  return where.split(',').map(part => {
    const [, place = '', platform] = /^([a-z-]+)(?:\[([^\]]+)\])?$/.exec(part) ?? []
    if (!isPlace(place)) return fail(`"${part}" is none of ${places.join(', ')}`)
    if (platform !== undefined && place === 'index') return fail('an index is not of one platform')
    return {
      place,
      platform: platform === undefined ? undefined : parsePlatform(platform),
      name,
      value: value ?? '',
    }
  })
}

function isPlace(text: string): text is AnnotationPlace {
  return places.some(place => place === text)
}

/** Those for one document; the last of a name counts. */
export function annotationsOf(
  annotations: readonly Annotation[],
  place: AnnotationPlace,
  platform?: Platform,
): Record<string, string> {
  const isMeant = (one: Annotation): boolean =>
    one.place === place &&
    (one.platform === undefined ||
      (platform !== undefined && formatPlatform(one.platform) === formatPlatform(platform)))
  return Object.fromEntries(annotations.filter(isMeant).map(({ name, value }) => [name, value]))
}

/** `NAME=VALUE`; NAME alone is an empty value, as docker has it. @throws USAGE */
export function parseLabels(texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    texts.map(text => {
      const [name = '', value = ''] = text.split(/=(.*)/s)
      if (name === '')
        throw new CloudimgError('USAGE', `reading --label "${text}": the name is missing`, { hint: 'write NAME=VALUE' })
      return [name, value]
    }),
  )
}
