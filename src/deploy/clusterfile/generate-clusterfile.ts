import { apiVersion, type Clusterfile, type ClusterfileHost } from './schema.ts'

export interface GenerateOptions {
  readonly image: string
  /** `[user@]host[:port]`; this machine alone where none is named. */
  readonly servers: readonly string[]
  readonly agents: readonly string[]
  /** Address in the cluster by host, as it was named. */
  readonly nodeIps?: Readonly<Record<string, string>>
  readonly tlsSans?: readonly string[]
  readonly endpoint?: string
  readonly identityFile?: string
}

/** Machines that are alike share an entry; those with an address of their own have one each. */
export function generateClusterfile(options: GenerateOptions): Clusterfile {
  const { image, agents, nodeIps = {}, tlsSans, endpoint, identityFile } = options
  const servers = options.servers.length + agents.length === 0 ? ['localhost'] : options.servers
  return {
    apiVersion,
    kind: 'Cluster',
    spec: {
      image,
      ...(identityFile === undefined ? {} : { ssh: { identityFile } }),
      hosts: [...entries(servers, 'server', nodeIps), ...entries(agents, 'agent', nodeIps)],
      ...(tlsSans === undefined ? {} : { tlsSans: [...tlsSans] }),
      ...(endpoint === undefined ? {} : { endpoint }),
    },
  }
}

function entries(
  hosts: readonly string[],
  role: 'server' | 'agent',
  nodeIps: Readonly<Record<string, string>>,
): ClusterfileHost[] {
  const alike = hosts.filter(host => nodeIps[host] === undefined)
  return [
    ...(alike.length === 0 ? [] : [{ addresses: alike, role }]),
    ...hosts.flatMap(host => {
      const nodeIP = nodeIps[host]
      return nodeIP === undefined ? [] : [{ addresses: [host], role, nodeIP }]
    }),
  ]
}
