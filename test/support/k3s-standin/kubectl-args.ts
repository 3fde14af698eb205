import { Exit, unknownToStandIn } from './log.ts'

/** Flags that the stand-in's kubectl takes; anything else is refused, for a flag that is silently ignored would lie. */
const withValue = new Set([
  'output',
  'namespace',
  'selector',
  'field-selector',
  'for',
  'timeout',
  'filename',
  'field-manager',
  'raw',
  'kubeconfig',
  'server',
  'request-timeout',
  'grace-period',
  'sort-by',
  'chunk-size',
  'context',
  'pod-selector',
  'type',
  'patch',
])
const switches = new Set([
  'all-namespaces',
  'server-side',
  'force-conflicts',
  'ignore-daemonsets',
  'delete-emptydir-data',
  'force',
  'ignore-not-found',
  'wait',
  'now',
  'overwrite',
  'no-headers',
  'client',
  'all',
  'show-labels',
  'recursive',
  'short',
  'disable-eviction',
  'watch',
])
const shorts: Readonly<Record<string, string>> = {
  o: 'output',
  n: 'namespace',
  l: 'selector',
  f: 'filename',
  A: 'all-namespaces',
  s: 'server',
  p: 'patch',
  R: 'recursive',
}

export interface KubectlArgs {
  readonly words: readonly string[]
  flag(name: string): string | undefined
  has(name: string): boolean
  all(name: string): readonly string[]
}

export function parseKubectlArgs(argv: readonly string[]): KubectlArgs {
  const words: string[] = []
  const flags = new Map<string, string[]>()
  const add = (name: string, value: string): void => void flags.set(name, [...(flags.get(name) ?? []), value])
  for (let at = 0; at < argv.length; at++) {
    const arg = argv[at] ?? ''
    if (arg === '--') {
      words.push(...argv.slice(at + 1))
      break
    }
    if (!arg.startsWith('-') || arg === '-') {
      words.push(arg)
      continue
    }
    const { name, value } = splitFlag(arg)
    if (switches.has(name)) add(name, value ?? 'true')
    else if (withValue.has(name)) {
      const given = value ?? argv[++at]
      if (given === undefined) throw new Exit(1, `error: flag needs an argument: ${arg}`)
      add(name, given)
    } else throw unknownToStandIn(`kubectl flag "${arg}"`)
  }
  return {
    words,
    flag: name => flags.get(name)?.at(-1),
    has: name => (flags.get(name)?.at(-1) ?? 'false') !== 'false',
    all: name => flags.get(name) ?? [],
  }
}

/** `--name`, `--name=value`, `-n`, `-nvalue`, `-n=value`. */
function splitFlag(arg: string): { readonly name: string; readonly value: string | undefined } {
  const long = /^--([^=]+)(?:=(.*))?$/s.exec(arg)
  if (long !== null) return { name: long[1] ?? '', value: long[2] }
  const name = shorts[arg[1] ?? ''] ?? arg
  const rest = arg.slice(2).replace(/^=/, '')
  return { name, value: rest === '' ? undefined : rest }
}

/** `5m`, `1m30s`, `300s`, `0`. Milliseconds. */
export function parseDuration(text: string): number {
  if (text === '0') return 0
  const units: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 }
  const parts = [...text.matchAll(/(-?[\d.]+)(ms|h|m|s)/g)]
  if (parts.length === 0 || parts.map(part => part[0]).join('') !== text)
    throw new Exit(
      1,
      `error: invalid argument "${text}" for "--timeout" flag: time: missing unit in duration "${text}"`,
    )
  return parts.reduce((sum, [, value, unit]) => sum + Number(value) * (units[unit ?? ''] ?? 0), 0)
}
