import { clusterEnvironment } from '../environment.ts'
import { compareBytes } from '../../io/files.ts'
import type { Phase } from '../plan.ts'

/** Applications wait for what they start, as a rule; whoever waits for ever must end some day. */
const launchSeconds = 7200

/** What the image brings for the cluster: charts to every server, manifests and what it launches from one, once all nodes are Ready. */
export const apply: Phase = {
  title: 'Apply',
  limit: () => 1,
  steps({ nodes, runtime, cluster, launch, env }) {
    const [first] = nodes
    const manifests = [...first.rootfs.files.keys()].filter(path => /^manifests\/[^/]+\.(?:ya?ml|json)$/.test(path))
    return [
      ...nodes.filter(node => node.role === 'server').flatMap(node => runtime.charts(node)),
      ...runtime.apply(first, cluster, nodes, manifests.sort(compareBytes)),
      ...runtime.launch(first, cluster, nodes, {
        what: 'launch',
        scripts: launch.length === 0 ? [] : [{ run: launch.join('\n'), timeoutSeconds: launchSeconds }],
        environment: clusterEnvironment(first, cluster.id, env),
      }),
    ]
  },
}
