import { type Platform, formatPlatform } from '../core/platform.ts'
import type { Arg, Kubefile } from './ast.ts'
import type { Lookup } from './expand.ts'

export interface ScopeRequest {
  /** What is built for: the TARGET names and ARCH. */
  readonly platform: Platform
  /** What is built on: the BUILD names. */
  readonly buildPlatform: Platform
  /** The values of --build-arg. */
  readonly buildArgs: Readonly<Record<string, string>>
}

/**
 * The variables at one place of a Kubefile; a value, every change makes another. ENV beats ARG beats the predefined
 * names, whatever their order.
 */
export interface Scope {
  readonly request: ScopeRequest
  readonly args: ReadonlyMap<string, string>
  readonly env: ReadonlyMap<string, string>
  readonly lookup: Lookup
  /**
   * After `ARG name=value`, the value expanded already. --build-arg comes first, then the value; in a stage an ARG
   * without value takes the global one or the predefined one. With none of them the name stays unset.
   */
  withArg(name: string, value: string | undefined): Scope
  withEnv(name: string, value: string): Scope
}

/** The scope before the first FROM: its ARGs are seen by FROM alone. */
export function globalScope(request: ScopeRequest): Scope {
  const predefined = predefinedArgs(request)
  return scopeOf({ request, predefined, inherit: name => predefined.get(name) }, new Map(), new Map())
}

/** The scope behind a FROM; `env` is what the base image or earlier stage brings, `args` what an earlier stage does. */
export function stageScope(
  global: Scope,
  env: Iterable<readonly [string, string]> = [],
  args: ReadonlyMap<string, string> = new Map(),
): Scope {
  const { request, lookup } = global
  return scopeOf({ request, predefined: predefinedArgs(request), inherit: lookup }, args, new Map(env))
}

/** Where values come from that no instruction in the scope gives. */
interface ValueSources {
  readonly request: ScopeRequest
  readonly predefined: ReadonlyMap<string, string>
  /** What an ARG without a value takes. */
  readonly inherit: Lookup
}

function scopeOf(from: ValueSources, args: ReadonlyMap<string, string>, env: ReadonlyMap<string, string>): Scope {
  const { buildArgs } = from.request
  return {
    request: from.request,
    args,
    env,
    lookup: name => env.get(name) ?? args.get(name) ?? from.predefined.get(name),
    withArg: (name, value) => {
      const given = Object.hasOwn(buildArgs, name) ? buildArgs[name] : undefined
      const known = given ?? value ?? from.inherit(name)
      return known === undefined ? scopeOf(from, args, env) : scopeOf(from, new Map(args).set(name, known), env)
    },
    withEnv: (name, value) => scopeOf(from, args, new Map(env).set(name, value)),
  }
}

/** TARGET* and BUILD* as BuildKit has them, and ARCH as sealer has it. A variant that a platform lacks is set and empty. */
export function predefinedArgs({ platform, buildPlatform }: ScopeRequest): ReadonlyMap<string, string> {
  const names = (prefix: string, { os, arch, variant }: Platform, full: string): [string, string][] => [
    [`${prefix}PLATFORM`, full],
    [`${prefix}OS`, os],
    [`${prefix}ARCH`, arch],
    [`${prefix}VARIANT`, variant ?? ''],
  ]
  return new Map([
    ...names('TARGET', platform, formatPlatform(platform)),
    ...names('BUILD', buildPlatform, formatPlatform(buildPlatform)),
    ['ARCH', platform.arch],
  ])
}

/** What expands in every stage without ARG. */
export const predefinedNames: readonly string[] = [
  ...['TARGET', 'BUILD'].flatMap(prefix => ['PLATFORM', 'OS', 'ARCH', 'VARIANT'].map(name => `${prefix}${name}`)),
  'ARCH',
]

const proxyArgs: ReadonlySet<string> = new Set(
  ['HTTP_PROXY', 'HTTPS_PROXY', 'FTP_PROXY', 'NO_PROXY', 'ALL_PROXY'].flatMap(name => [name, name.toLowerCase()]),
)

/** Known without ARG, for RUN alone; never part of a cache key or of history. */
export function isProxyArg(name: string): boolean {
  return proxyArgs.has(name)
}

/** What RUN's command finds: ARGs, proxies that were passed, and above them ENV. */
export function runEnvironment(scope: Scope): Readonly<Record<string, string>> {
  const proxies = Object.entries(scope.request.buildArgs).filter(([name]) => isProxyArg(name))
  return Object.fromEntries([...proxies, ...scope.args, ...scope.env])
}

/** The --build-arg names that no ARG takes: most often misspelt. */
export function unusedBuildArgs(kubefile: Kubefile, buildArgs: ScopeRequest['buildArgs']): readonly string[] {
  const inStages = kubefile.stages.flatMap(({ instructions }) => instructions.filter(({ kind }) => kind === 'ARG'))
  const taken = new Set([...kubefile.globalArgs, ...(inStages as Arg[])].flatMap(argNames))
  return Object.keys(buildArgs).filter(name => !taken.has(name) && !isProxyArg(name) && name !== 'SOURCE_DATE_EPOCH')
}

function argNames({ pairs }: Arg): readonly string[] {
  return pairs.map(({ key }) => key.text)
}
