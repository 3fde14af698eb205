import type { Cluster, PlannedNode } from '../runtime.ts'
import { type Content, type DeployStep, hole, printContent } from '../step.ts'
import { apiUrl } from './config.ts'
import { k3sPaths } from './paths.ts'
import { renderRegistries } from './registries.ts'
import { isWritten, secretFile } from './registry-files.ts'
import { registryPaths } from './registry-paths.ts'
import { standingOf } from './standing.ts'
import { command, installer } from './steps.ts'

/**
 * A node that was told to join a server which is none any more is told of another one, for its next start: it knows all servers
 * while it runs, and a restart is not worth it (facts/k3s.md §7.1, §7.4).
 */
export function redirectSteps(node: PlannedNode, cluster: Cluster, via: PlannedNode): readonly DeployStep[] {
  return [...redirectServer(node, cluster, via), ...redirectRegistry(node, cluster)]
}

function redirectServer(node: PlannedNode, cluster: Cluster, via: PlannedNode): readonly DeployStep[] {
  const joins = standingOf(node)?.joins
  if (joins === undefined || cluster.servers.some(address => apiUrl(address) === joins) || node.host === via.host)
    return []
  const content = redirected(node, apiUrl(via.address))
  return [
    {
      id: `redirect/${node.host}`,
      host: node.host,
      sentence: `name the server at ${via.address} as the one to join, from the next start on`,
      do: [
        { op: 'file', path: k3sPaths.pendingConfig, mode: 0o600, content },
        installer(node, 'configure', ['--config', k3sPaths.pendingConfig], cluster.timeoutSeconds),
        { op: 'exec', argv: ['rm', '-f', k3sPaths.pendingConfig] },
      ],
      done: {
        probe: 'all',
        of: [{ probe: 'content', path: k3sPaths.config, content }, command('test', '!', '-e', k3sPaths.pendingConfig)],
      },
      undo: 'none',
    },
  ]
}

/** Nor does it go on asking a registry that went with its server. */
function redirectRegistry(node: PlannedNode, cluster: Cluster): readonly DeployStep[] {
  const { registries } = node.facts.k3s
  const content = cluster.registry.mode === 'managed' ? renderRegistries(node, cluster) : undefined
  if (content === undefined || registries === undefined || registries === printContent(content)) return []
  const { pending } = registryPaths
  return [
    {
      id: `redirect-registry/${node.host}`,
      host: node.host,
      sentence: 'name the registries of the servers that stay, from the next start on',
      do: [
        secretFile({ path: pending, content }),
        installer(node, 'configure', ['--registries', pending], cluster.timeoutSeconds),
        { op: 'exec', argv: ['rm', '-f', pending] },
      ],
      done: {
        probe: 'all',
        of: [isWritten({ path: registryPaths.registries, content }), command('test', '!', '-e', pending)],
      },
      undo: 'none',
    },
  ]
}

/** The very config that it has, but for the server: whatever the user once asked for stays. */
function redirected({ facts, role }: PlannedNode, server: string): Content {
  const lines = (facts.k3s.config ?? '').split(/(?<=\n)/)
  return lines.flatMap((line): Content => {
    const [, key] = /^([a-z-]+):/.exec(line) ?? []
    if (key === 'server') return [`server: ${JSON.stringify(server)}\n`]
    if (!line.endsWith(': (hidden)\n') || key === undefined) return [line]
    // What agents call their token is the agent-token of servers.
    return [`${key}: "`, hole(role === 'agent' ? 'agent-token' : key), '"\n']
  })
}
