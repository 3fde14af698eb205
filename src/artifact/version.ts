import { CloudimgError } from '../core/error.ts'
import type { TemplateData } from './template-schema.ts'

/** A distribution's release, in the parts by which releases are ordered. */
export interface Version {
  /** As the distribution writes it: `v1.31.4+k3s1`. */
  readonly text: string
  readonly major: number
  readonly minor: number
  readonly patch: number
  /** Of a release candidate; undefined for a release. */
  readonly rc: number | undefined
  /** The N of `+k3sN`; 0 where the distribution has none. */
  readonly revision: number
}

type Versioned = Pick<TemplateData, 'name' | 'versions'>

/** Undefined for what is not written as this distribution writes its versions. */
export function matchVersion(template: Versioned, text: string): Version | undefined {
  if (template.versions === undefined) return undefined
  const groups = new RegExp(template.versions.pattern).exec(text)?.groups
  if (groups === undefined) return undefined
  return {
    text,
    major: Number(groups.major),
    minor: Number(groups.minor),
    patch: Number(groups.patch),
    rc: groups.rc === undefined ? undefined : Number(groups.rc),
    revision: Number(groups.revision ?? 0),
  }
}

/**
 * @throws ARTIFACT_UNKNOWN for what is no version of the distribution, with the nearest that is one as the hint, and for
 * releases that upstream withdrew.
 */
export function parseVersion(template: Versioned, text: string): Version {
  const version = matchVersion(template, text)
  if (version === undefined) throw unknownVersion(template, text)
  const withdrawn = template.versions?.excluded.find(entry => entry.version === text)
  if (withdrawn !== undefined) {
    throw new CloudimgError('ARTIFACT_UNKNOWN', `reading ${template.name} version "${text}": ${withdrawn.reason}`)
  }
  return version
}

function unknownVersion(template: Versioned, text: string): CloudimgError {
  const { versions } = template
  if (versions === undefined) {
    return new CloudimgError('ARTIFACT_UNKNOWN', `reading template "${template.name}": it has no versions`, {
      hint: `write BASE without @${text}`,
    })
  }
  const near = corrections(text, versions.suffix ?? '').find(candidate => matchVersion(template, candidate))
  return new CloudimgError(
    'ARTIFACT_UNKNOWN',
    `reading ${template.name} version "${text}": no ${template.name} release is named so`,
    { hint: near === undefined ? `write a version such as ${versions.example}` : `write ${near}` },
  )
}

// What people write: without the v, with the suffix of an image tag, percent-encoded, or the Kubernetes version alone.
function corrections(text: string, suffix: string): readonly string[] {
  const plain = text.replaceAll(/%2b/gi, '+')
  const prefixed = plain.startsWith('v') ? plain : `v${plain}`
  const plus = suffix.slice(1).replace(/\d+$/, '')
  return [plain, prefixed, prefixed.replace(`-${plus}`, `+${plus}`), `${prefixed}${suffix}`]
}

/** Negative, zero or positive; a release candidate comes before its release. */
export function compareVersions(a: Version, b: Version): number {
  return (
    a.major - b.major ||
    a.minor - b.minor ||
    a.patch - b.patch ||
    compareCandidates(a.rc, b.rc) ||
    a.revision - b.revision ||
    0
  )
}

/**
 * Whether that release has the feature: at or after the first release of its own minor, or on a minor after all that are named.
 * @throws BUG for a feature that the template does not know.
 */
export function hasFeature(
  template: Versioned & Pick<TemplateData, 'features'>,
  version: string,
  feature: string,
): boolean {
  const firsts = template.features[feature]
  if (firsts === undefined) throw new CloudimgError('BUG', `template "${template.name}" knows no feature "${feature}"`)
  const { major, minor, patch } = parseVersion(template, version)
  const parts = firsts.map(first => first.slice(1).split('.').map(Number))
  const later = parts.every(([x = 0, y = 0]) => major > x || (major === x && minor > y))
  return later || parts.some(([x, y, z = 0]) => major === x && minor === y && patch >= z)
}

/** The Kubernetes version inside: `v1.31.4+k3s1` → `v1.31.4`. */
export function kubernetesVersion(template: Versioned, version: string): string | undefined {
  const pattern = template.versions?.kubernetes
  return pattern === undefined ? undefined : new RegExp(pattern).exec(version)?.[1]
}

function compareCandidates(a: number | undefined, b: number | undefined): number {
  if (a === b) return 0
  if (a === undefined) return 1
  return b === undefined ? -1 : a - b
}
