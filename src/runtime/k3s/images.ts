import { join } from 'node:path/posix'
import type { Cluster, PlannedNode } from '../runtime.ts'
import type { DeployStep, Op, Probe } from '../step.ts'
import { isUp } from './kube.ts'
import { k3sPaths, unitOf } from './paths.ts'
import { command, waitUntil } from './steps.ts'

/** Where a rootfs has the images that were collected for it, and their list: `DIGEST SIZE TYPE NAME BLOB…`. */
const layout = 'images/oci'
const list = `${layout}/images.txt`

/** What k3s brings itself, one name on a line. */
const ownList = 'images/k3s-images.txt'

// $1 the list. Every name of it must be in containerd, with its digest, and safe from kubelet's garbage collection. $2 what k3s
// brings itself: by name alone, which is its own business.
const lookScript = `[ -s "$1" ] || [ "$1" = /dev/null ] || exit 1
timeout 60 ${k3sPaths.program} ctr -n k8s.io images ls | awk -v list="$1" -v own="$2" '
  BEGIN {
    while ((getline line < list) > 0) { split(line, field, " "); wanted[field[4]] = field[1] }
    while ((getline line < own) > 0) {
      sub(/[ \\t\\r]*(#.*)?$/, "", line)
      if (line != "") wanted[line ~ /^[^\\/]*[.:][^\\/]*\\// ? line : "docker.io/" line] = ""
    }
  }
  ($1 in wanted) && wanted[$1] == "" { delete wanted[$1] }
  ($1 in wanted) && wanted[$1] == $3 && index($0, "io.cri-containerd.pinned=pinned") { delete wanted[$1] }
  END { for (name in wanted) exit 1 }'`

const dropScript = `cut -d ' ' -f 4 "$1" | xargs ${k3sPaths.program} ctr -n k8s.io images rm`

/**
 * Streams the collected images into the node's containerd, those that it lacks, and pins them. Upstream's own archive k3s imports
 * by itself, at each start (facts/k3s.md §4.2); the installer restarts it where some of that is gone. Nothing where the image
 * brings none.
 */
export function imageSteps(node: PlannedNode, cluster: Cluster): readonly DeployStep[] {
  if (!node.rootfs.files.has(list)) return []
  const { directory } = node.rootfs
  const path = join(directory, list)
  const blobs = [...node.rootfs.files.keys()].filter(file => file.startsWith(`${layout}/blobs/`)).length
  return [
    {
      id: `images/${node.host}`,
      host: node.host,
      sentence: `import the collected container images, ${blobs} blobs, and pin them; restarts k3s where its own are gone`,
      do: [
        {
          op: 'installer',
          verb: 'import',
          rootfs: directory,
          args: ['--archive', join(directory, layout)],
          timeoutSeconds: cluster.timeoutSeconds,
        },
      ],
      done: present(node, path),
      undo: { kind: 'compensating', do: [{ op: 'exec', argv: ['sh', '-c', dropScript, 'drop-images', path] }] },
    },
  ]
}

/**
 * Where nothing was collected, a restart is all that is needed: k3s imports its own archive at each start (facts/k3s.md §4.2, §4.3).
 * Nothing of it is taken back: that would take images away which were there before.
 */
export function healSteps(node: PlannedNode, cluster: Cluster, via: PlannedNode): readonly DeployStep[] {
  const collected = imageSteps(node, cluster)
  const unit = unitOf(node.role)
  const asked = node.role === 'server' ? node : via
  const up: Probe = {
    probe: 'all',
    of: [
      command('systemctl', 'is-active', '--quiet', `${unit}.service`),
      isUp(node, { ...cluster, version: undefined }, asked),
    ],
  }
  const back = (until: Probe): Op => waitUntil(until, `node "${node.name}" is Ready and has its images`, cluster)
  if (collected.length > 0)
    return collected.map(step => ({ ...step, lane: node.host, do: [...step.do, back(up)], undo: 'none' }))
  if (!node.rootfs.files.has(ownList)) return []
  const done = present(node, '/dev/null')
  return [
    {
      id: `images/${node.host}`,
      host: node.host,
      lane: node.host,
      sentence: `bring the container images of k3s itself back, with a restart of ${unit}`,
      do: [
        { op: 'exec', argv: ['systemctl', 'restart', '--no-block', `${unit}.service`] },
        back({ probe: 'all', of: [done, up] }),
      ],
      done,
      undo: 'none',
    },
  ]
}

function present(node: PlannedNode, path: string): Probe {
  return command('sh', '-c', lookScript, 'images-present', path, join(node.rootfs.directory, ownList))
}
