import type { Cluster, Marks, PlannedNode } from '../runtime.ts'
import type { DeployStep, Op, Probe } from '../step.ts'
import { insist, isUp, kubectl } from './kube.ts'
import { formatMarks, fullTaint, marksAnnotation } from './marks-note.ts'
import { waitUntil } from './steps.ts'

const none: Marks = { labels: {}, taints: [] }

/** Sets what a node lacks, and takes away what cloudimg itself once set and nobody declares any more. All else is somebody's. */
export function markSteps(
  node: PlannedNode,
  cluster: Cluster,
  via: PlannedNode,
  marks: Marks,
  marked: Marks | undefined,
): readonly DeployStep[] {
  const { labels, taints } = marks
  const pairs = Object.entries(labels).map(([key, value]) => `${key}=${value}`)
  if (pairs.length === 0 && taints.length === 0 && marked === undefined) return []
  const gone = surplus(marked ?? none, marks)
  const less = [...Object.keys(gone.labels), ...gone.taints]
  const change = (verb: string, what: readonly string[]): readonly Op[] =>
    what.length === 0 ? [] : [insist(kubectl([verb, 'node', node.name, '--overwrite', ...what]))]
  const note = formatMarks(marks)
  const sentences = [
    ...(pairs.length + taints.length === 0 ? [] : [`mark node "${node.name}": ${[...pairs, ...taints].join(', ')}`]),
    ...(less.length === 0 ? [] : [`take away from node "${node.name}": ${less.join(', ')}`]),
  ]
  return [
    {
      id: `mark/${node.host}`,
      host: via.host,
      lane: node.host,
      sentence: sentences.join('; ') || `forget what node "${node.name}" was marked with`,
      do: [
        waitUntil(isUp(node, cluster, via), `node "${node.name}" is Ready`, cluster),
        ...change('label', [...pairs, ...Object.keys(gone.labels).map(key => `${key}-`)]),
        ...change('taint', [...taints, ...gone.taints.map(taint => `${keyAndEffect(taint)}-`)]),
        ...change('annotate', [note === '' ? `${marksAnnotation}-` : `${marksAnnotation}=${note}`]),
      ],
      done: isMarked(node, marks, gone, note),
      undo: 'none',
    },
  ]
}

/** Of what was set: what is declared no more. A taint that has another value now is overwritten, not taken away. */
function surplus(marked: Marks, { labels, taints }: Marks): Marks {
  const kept = new Set(taints.map(keyAndEffect))
  return {
    labels: Object.fromEntries(Object.entries(marked.labels).filter(([key]) => !(key in labels))),
    taints: marked.taints.filter(taint => !kept.has(keyAndEffect(taint))),
  }
}

function keyAndEffect(taint: string): string {
  return taint.replace(/=[^:]*:/, ':')
}

// kubectl prints the map of labels as JSON; neither keys nor values hold a quote or a bracket.
const path = String.raw`jsonpath={range .spec.taints[*]}[{.key}={.value}:{.effect}]{end}{.metadata.labels}marks({.metadata.annotations.cloudimg\.io/marks})`

// $1 what must be there, $2 what must not, line by line; then kubectl.
const script = `wanted=$1 gone=$2; shift 2; has=$("$@") || exit 1
printf '%s\\n' "$wanted" | while IFS= read -r piece; do printf '%s\\n' "$has" | grep -Fq -- "$piece" || exit 1; done || exit 1
printf '%s\\n' "$gone" | while IFS= read -r piece; do [ -n "$piece" ] || continue; ! printf '%s\\n' "$has" | grep -Fq -- "$piece" || exit 1; done`

function isMarked({ name }: PlannedNode, marks: Marks, gone: Marks, note: string): Probe {
  const wanted = [...pieces(marks), `marks(${note})`].join('\n')
  const argv = [
    'sh',
    '-c',
    script,
    'has-marks',
    wanted,
    pieces(gone).join('\n'),
    ...kubectl(['get', 'node', name, '-o', path]),
  ]
  return { probe: 'command', argv, expect: 'zero' }
}

function pieces({ labels, taints }: Marks): readonly string[] {
  return [
    ...Object.entries(labels).map(([key, value]) => `"${key}":"${value}"`),
    ...taints.map(taint => `[${fullTaint(taint)}]`),
  ]
}
