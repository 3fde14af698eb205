import type { Cluster, Marks, PlannedNode } from '../runtime.ts'
import type { DeployStep, Op, Probe } from '../step.ts'
import { insist, isUp, kubectl } from './kube.ts'
import { waitUntil } from './steps.ts'

/** Sets what a node lacks. What else it is marked with may be somebody's, so it stays. */
export function markSteps(node: PlannedNode, cluster: Cluster, via: PlannedNode, marks: Marks): readonly DeployStep[] {
  const { labels, taints } = marks
  const pairs = Object.entries(labels).map(([key, value]) => `${key}=${value}`)
  if (pairs.length === 0 && taints.length === 0) return []
  const set = (verb: string, what: readonly string[]): readonly Op[] =>
    what.length === 0 ? [] : [insist(kubectl([verb, 'node', node.name, '--overwrite', ...what]))]
  return [
    {
      id: `mark/${node.host}`,
      host: via.host,
      lane: node.host,
      sentence: `mark node "${node.name}": ${[...pairs, ...taints].join(', ')}`,
      do: [
        waitUntil(isUp(node, cluster, via), `node "${node.name}" is Ready`, cluster),
        ...set('label', pairs),
        ...set('taint', taints),
      ],
      done: hasMarks(node, marks),
      undo: 'none',
    },
  ]
}

// kubectl prints the map of labels as JSON; neither keys nor values hold a quote or a bracket.
const path = 'jsonpath={range .spec.taints[*]}[{.key}={.value}:{.effect}]{end}{.metadata.labels}'

const script = `wanted=$1; shift; has=$("$@") || exit 1
printf '%s\\n' "$wanted" | while IFS= read -r piece; do printf '%s\\n' "$has" | grep -Fq -- "$piece" || exit 1; done`

function hasMarks({ name }: PlannedNode, { labels, taints }: Marks): Probe {
  const wanted = [
    ...Object.entries(labels).map(([key, value]) => `"${key}":"${value}"`),
    ...taints.map(taint => `[${taint.includes('=') ? taint : taint.replace(':', '=:')}]`),
  ]
  const argv = ['sh', '-c', script, 'has-marks', wanted.join('\n'), ...kubectl(['get', 'node', name, '-o', path])]
  return { probe: 'command', argv, expect: 'zero' }
}
