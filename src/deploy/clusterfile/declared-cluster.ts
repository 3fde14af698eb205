import { resolve } from 'node:path'
import { CloudimgError } from '../../core/error.ts'
import { thisMachine } from '../../host/address.ts'
import type { SshOptions } from '../../host/openssh.ts'
import type { Marks } from '../../runtime/runtime.ts'
import type { Ends } from '../ends.ts'
import type { ClusterOptions, HostLists } from '../options.ts'
import { addressOfHost, hostText } from './host-lists.ts'
import { type Clusterfile, type ClusterfileSsh, roleOf } from './schema.ts'

/** A Clusterfile in the words of the actions. */
export interface DeclaredCluster {
  /** This machine alone unless told. */
  readonly hosts?: HostLists
  readonly cluster: Omit<ClusterOptions, 'datastoreEndpoint'>
  /** By machine, as it is named; those without labels and taints are left out. */
  readonly marks: ReadonlyMap<string, Marks>
  readonly ssh: DeclaredSsh
}

export interface DeclaredSsh {
  /** By machine, as it is named. */
  readonly byHost: ReadonlyMap<string, SshOptions>
  /** For machines that the file does not name, but the cluster does. */
  readonly others: SshOptions
}

/** Where relative paths begin, and who knows the passwords. */
export interface Surroundings {
  readonly directory: string
  readonly env: Readonly<Record<string, string | undefined>>
}

/** Pure but for the environment that it is given. @throws USAGE for a variable that is not set. */
export function declaredCluster({ spec }: Clusterfile, around: Surroundings): DeclaredCluster {
  const named = spec.hosts.flatMap(host => {
    const ssh = { ...spec.ssh, ...host.ssh }
    return host.addresses.map(text => ({ host, ssh, text: hostText(text, ssh), name: addressOfHost(text, ssh).name }))
  })
  const isHere = named.length === 1 && named[0]!.text === thisMachine.name
  const of = (role: 'server' | 'agent') => named.filter(({ host }) => roleOf(host) === role).map(({ text }) => text)
  const { tlsSans, endpoint, config } = spec
  return {
    ...(isHere ? {} : { hosts: { servers: of('server'), agents: of('agent') } }),
    cluster: {
      nodeIps: Object.fromEntries(
        named.flatMap(({ host, name }) => (host.nodeIP === undefined ? [] : [[name, host.nodeIP]])),
      ),
      ...(tlsSans === undefined ? {} : { tlsSans }),
      ...(endpoint === undefined ? {} : { endpoint }),
      ...(config === undefined
        ? {}
        : {
            config: { ...(config.server && { server: config.server }), ...(config.agent && { agent: config.agent }) },
          }),
    },
    marks: new Map(
      named.flatMap(({ host: { labels = {}, taints = [] }, name }) =>
        Object.keys(labels).length + taints.length === 0 ? [] : [[name, { labels, taints }] as const],
      ),
    ),
    ssh: {
      byHost: new Map(named.map(({ name, ssh }) => [name, sshOptions(ssh, around)])),
      others: sshOptions(spec.ssh ?? {}, around),
    },
  }
}

/** Each machine is reached as the file says; what was said to the command itself counts. */
export function reachAsDeclared(ends: Ends, { byHost, others }: DeclaredSsh): Ends {
  return {
    ...ends,
    connect: (address, options, ctx) =>
      ends.connect(address, { ...(byHost.get(address.name) ?? others), ...options }, ctx),
  }
}

function sshOptions(
  { identityFile, jump, passwordEnv, sudoPasswordEnv }: ClusterfileSsh,
  { directory, env }: Surroundings,
): SshOptions {
  const password = secretFrom(passwordEnv, env)
  const sudoPassword = secretFrom(sudoPasswordEnv, env)
  return {
    // ssh itself knows what ~ is.
    ...(identityFile === undefined
      ? {}
      : { identityFile: identityFile.startsWith('~') ? identityFile : resolve(directory, identityFile) }),
    ...(jump === undefined ? {} : { jump }),
    ...(password === undefined ? {} : { password }),
    ...(sudoPassword === undefined ? {} : { sudoPassword }),
  }
}

function secretFrom(variable: string | undefined, env: Surroundings['env']): string | undefined {
  if (variable === undefined) return undefined
  const value = env[variable]
  if (value !== undefined && value !== '') return value
  throw new CloudimgError('USAGE', `reading the password from the environment: $${variable} is not set`, {
    hint: `set ${variable}, or say --ask-password instead`,
  })
}
