import { join } from 'node:path/posix'
import { digestOf, shortDigest } from '../../core/digest.ts'
import type { Cluster, Launch, PlannedNode } from '../runtime.ts'
import { environmentIsGone, shellRunOps } from '../shell-run.ts'
import type { DeployStep, Op, Probe } from '../step.ts'
import { insist, isUp, kubectl } from './kube.ts'
import { k3sPaths } from './paths.ts'
import { command, waitUntil } from './steps.ts'

/** Server-side apply of the image's manifests, in the order of their names, once every node is Ready. */
export function applySteps(
  server: PlannedNode,
  cluster: Cluster,
  nodes: readonly PlannedNode[],
  paths: readonly string[],
): readonly DeployStep[] {
  if (paths.length === 0) return []
  const digests = paths.map(path => server.rootfs.files.get(path)!.digest)
  const files = paths.flatMap(path => ['-f', `${server.rootfs.directory}/${path}`])
  const apply = kubectl(['apply', '--server-side', '--field-manager=cloudimg', ...files], 300)
  return [
    {
      id: `apply/${server.host}`,
      host: server.host,
      sentence: `apply ${paths.length} manifests of the image`,
      do: [...untilUp(server, cluster, nodes), insist(apply), ...noteOps('manifests', digests)],
      done: noted('manifests', digests),
      undo: 'none',
    },
  ]
}

/** In the rootfs, with kubectl at hand; once for each content. */
export function launchSteps(
  server: PlannedNode,
  cluster: Cluster,
  nodes: readonly PlannedNode[],
  { what, scripts, environment }: Launch,
): readonly DeployStep[] {
  if (scripts.length === 0) return []
  const { directory, digest } = server.rootfs
  const content = [digest, environment.digest, JSON.stringify(scripts)]
  const words = scripts.map(({ run }) => run.trim().replaceAll('\n', '; ')).join('; ')
  const note = noteOps(what, content)
  // Until the cluster remembers it, this server does.
  const mark = join(k3sPaths.state, 'hooks', `${what}-${shortDigest(digestOf(content.join('\n')))}`)
  return [
    {
      id: `${what}/${server.host}`,
      host: server.host,
      sentence: `${what === 'launch' ? 'start what the image launches' : 'run the hooks after all is up'}: ${words}`,
      do: [
        ...untilUp(server, cluster, nodes),
        ...shellRunOps({
          name: 'launch',
          directory,
          scripts,
          environment: environment.lines,
          kubeconfig: k3sPaths.kubeconfig,
          mark,
        }),
        ...note,
        { op: 'exec', argv: ['rm', '-f', mark] },
      ],
      done: { probe: 'all', of: [noted(what, content), environmentIsGone, command('test', '!', '-e', mark)] },
      undo: 'none',
    },
  ]
}

function untilUp(server: PlannedNode, cluster: Cluster, nodes: readonly PlannedNode[]): readonly Op[] {
  return nodes.map(node => waitUntil(isUp(node, cluster, server), `node "${node.name}" is Ready`, cluster))
}

/** The cluster itself remembers what it was given: whichever server is asked next knows. */
function noteOps(what: string, content: readonly string[]): readonly Op[] {
  const path = `/run/cloudimg-deploy/${what}.yaml`
  const object = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: `cloudimg-${what}`, namespace: 'kube-system' },
    data: { digest: digestOf(content.join('\n')) },
  }
  return [
    { op: 'file', path, mode: 0o600, content: [`${JSON.stringify(object)}\n`] },
    { op: 'exec', argv: kubectl(['apply', '--server-side', '--field-manager=cloudimg', '-f', path]) },
    { op: 'exec', argv: ['rm', '-f', path] },
  ]
}

function noted(what: string, content: readonly string[]): Probe {
  const where = [
    'configmap',
    `cloudimg-${what}`,
    '-n',
    'kube-system',
    '--ignore-not-found',
    '-o',
    'jsonpath={.data.digest}',
  ]
  return {
    probe: 'all',
    of: [
      { probe: 'command', argv: kubectl(['get', ...where]), expect: { stdout: digestOf(content.join('\n')) } },
      command('test', '!', '-e', `/run/cloudimg-deploy/${what}.yaml`),
    ],
  }
}

/** Charts lie where every API server serves them to the helm controller (facts/k3s.md §8). */
export function chartSteps(server: PlannedNode): readonly DeployStep[] {
  const charts = [...server.rootfs.files].filter(([path]) => /^charts\/[^/]+\.tgz$/.test(path))
  if (charts.length === 0) return []
  const files = charts.map(([path, { digest }]) => ({
    from: `${server.rootfs.directory}/${path}`,
    to: `/var/lib/rancher/k3s/server/static/${path}`,
    mode: 0o644,
    digest,
  }))
  return [
    {
      id: `charts/${server.host}`,
      host: server.host,
      sentence: `serve ${charts.length} charts of the image`,
      do: [{ op: 'copy', files }],
      done: { probe: 'files', files: files.map(({ to, digest }) => ({ path: to, digest })) },
      undo: 'none',
    },
  ]
}
