import { type Digest, digestOf } from '../core/digest.ts'
import { quoteArgv } from '../host/quote.ts'
import type { PlannedNode } from '../runtime/runtime.ts'
import { type Content, type Hole } from '../runtime/step.ts'

/** What a Clusterfile says for templates, applications, commands and hooks. */
export interface DeclaredEnvironment {
  readonly all: Readonly<Record<string, string>>
  /** By machine, as it is named; counts more than `all`. */
  readonly byHost: ReadonlyMap<string, Readonly<Record<string, string>>>
}

export const noEnvironment: DeclaredEnvironment = { all: {}, byHost: new Map() }

/** A variable as a plan carries it: what was declared stays out of plans and journals, like a secret. */
export interface Variable {
  readonly value: string
  readonly text: string | Hole
  /** As one word for a shell. */
  readonly word: string | Hole
}

/** Of one node, by name: what cloudimg knows of it, what the image brings, what is declared; the last one counts. */
export function variablesOf(
  node: PlannedNode,
  cluster: string,
  { all, byHost }: DeclaredEnvironment,
): ReadonlyMap<string, Variable> {
  const known = {
    HostIP: node.address,
    NodeName: node.name,
    NodeRole: node.role,
    Interface: node.interface,
    ClusterID: cluster,
    ...node.rootfs.env,
  }
  const own = byHost.get(node.host) ?? {}
  return new Map<string, Variable>([
    ...Object.entries(known).map(([name, value]) => [name, plain(value)] as const),
    ...Object.entries(all).map(([name, value]) => [name, declared(`env/${name}`, value)] as const),
    ...Object.entries(own).map(([name, value]) => [name, declared(`env/${node.host}/${name}`, value)] as const),
  ])
}

function plain(value: string): Variable {
  return { value, text: value, word: quoteArgv([value]) }
}

function declared(name: string, value: string): Variable {
  return { value, text: holeOf(name), word: holeOf(`${name} quoted`) }
}

/** In the Clusterfile they stand for everyone who may read it, so what programs print of them is left as it is. */
function holeOf(name: string): Hole {
  return { hole: name, secret: false }
}

/** What fills the holes of `variablesOf`. */
export function environmentHoles({ all, byHost }: DeclaredEnvironment): ReadonlyMap<string, string> {
  const pairs = [
    ...Object.entries(all).map(([name, value]) => [`env/${name}`, value] as const),
    ...[...byHost].flatMap(([host, env]) =>
      Object.entries(env).map(([name, value]) => [`env/${host}/${name}`, value] as const),
    ),
  ]
  return new Map(
    pairs.flatMap(
      ([name, value]) =>
        [
          [name, value],
          [`${name} quoted`, quoteArgv([value])],
        ] as const,
    ),
  )
}

/** Lines for a shell that set them. */
export function exportLines(variables: ReadonlyMap<string, Variable>): Content {
  return [...variables].flatMap(([name, { word }]) => [`export ${name}=`, word, '\n'])
}

/** For what runs once for a whole cluster: whichever server it is asked by, the same things make it another one. */
export function clusterEnvironment(
  server: PlannedNode,
  cluster: string,
  env: DeclaredEnvironment,
): { readonly lines: Content; readonly digest: Digest } {
  const lines = exportLines(variablesOf(server, cluster, env))
  return { lines, digest: digestOf(JSON.stringify([server.rootfs.env ?? {}, env.all])) }
}

/** Equal for equal values, and tells none of them. */
export function valuesOf(variables: ReadonlyMap<string, Variable>): string {
  return JSON.stringify([...variables].map(([name, { value }]) => [name, value]))
}
