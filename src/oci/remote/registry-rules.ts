import type { Reference } from '../../core/reference.ts'

/** What is configured for all references that begin with `prefix` (`host`, `host/path`, `*.example.com`). */
export interface RegistryRule {
  readonly prefix: string
  /** Stands in place of the prefix wherever the network is used; the prefix itself unless told. */
  readonly location?: string
  readonly insecure?: boolean
  /** Tried in order, for reading only. */
  readonly mirrors?: readonly Mirror[]
  /** Nothing may be read from or written to it. */
  readonly blocked?: boolean
}

export interface Mirror {
  /** `host[:port][/path]`, in place of the rule's prefix. */
  readonly location: string
  readonly insecure?: boolean
  readonly only?: 'digest' | 'tag'
}

/** A repository, and how the registry is spoken to. */
export interface Place {
  readonly ref: Reference
  readonly insecure: boolean
}

/** The rule with the longest prefix; of equal ones the first. */
export function ruleFor(rules: readonly RegistryRule[], ref: Reference): RegistryRule | undefined {
  const name = [ref.registry, ref.repository].filter(part => part !== '').join('/')
  let best: RegistryRule | undefined
  for (const rule of rules)
    if (fits(rule.prefix, name, ref.registry) && rule.prefix.length > (best?.prefix.length ?? 0)) best = rule
  return best
}

function fits(prefix: string, name: string, registry: string): boolean {
  if (!prefix.startsWith('*.')) return name === prefix || name.startsWith(`${prefix}/`)
  return registry.replace(/:\d+$/, '').endsWith(prefix.slice(1))
}

/** Where an image is read from: its mirrors, then the registry itself. */
export function readPlaces(rules: readonly RegistryRule[], ref: Reference): readonly Place[] {
  const rule = ruleFor(rules, ref)
  if (rule === undefined) return [{ ref, insecure: false }]
  const wanted = ref.digest === undefined ? 'tag' : 'digest'
  const mirrors = (rule.mirrors ?? []).filter(({ only }) => only === undefined || only === wanted)
  return [...mirrors.map(mirror => moved(rule.prefix, mirror, ref)), writePlace(rules, ref)]
}

/** Where an image is written to: never a mirror. */
export function writePlace(rules: readonly RegistryRule[], ref: Reference): Place {
  const rule = ruleFor(rules, ref)
  if (rule === undefined) return { ref, insecure: false }
  const insecure = rule.insecure === true
  return rule.location === undefined
    ? { ref, insecure }
    : moved(rule.prefix, { location: rule.location, insecure }, ref)
}

function moved(prefix: string, to: Mirror, ref: Reference): Place {
  const name = `${ref.registry}/${ref.repository}`
  const rest = prefix.startsWith('*.') ? ref.repository : name.slice(prefix.length).replace(/^\//, '')
  const [registry = '', ...path] = [to.location.replace(/\/+$/, ''), rest]
    .filter(part => part !== '')
    .join('/')
    .split('/')
  return { ref: { ...ref, registry, repository: path.join('/') }, insecure: to.insecure === true }
}
