import { spawnSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { markSteps } from '../../../src/runtime/k3s/mark.ts'
import type { Cluster, Marks, PlannedNode } from '../../../src/runtime/runtime.ts'

const node = { host: '10.0.0.2', name: 'node2', role: 'agent' } as PlannedNode
const via = { host: '10.0.0.1', name: 'node1', role: 'server' } as PlannedNode
const cluster = {
  version: 'v1.31.4+k3s1',
  datastore: 'sqlite',
  timeoutSeconds: 1,
  hasFeature: () => true,
} as unknown as Cluster

/** The probe's own script, with a program in kubectl's place that prints what kubectl would. */
function isMarked(marks: Marks, printed: string, code = 0): boolean {
  const [step] = markSteps(node, cluster, via, marks)
  const done = step!.done
  if (done.probe !== 'command') throw new Error('another probe')
  const [shell, ...args] = [...done.argv.slice(0, 5), 'sh', '-c', `printf '%s' "$1"; exit ${code}`, 'kubectl', printed]
  return spawnSync(shell, args).status === 0
}

describe('markSteps', () => {
  it('plans nothing where there is nothing to mark', () => {
    expect(markSteps(node, cluster, via, { labels: {}, taints: [] })).toEqual([])
  })

  it('sets labels and taints by kubectl on a server', () => {
    const [step] = markSteps(node, cluster, via, { labels: { zone: 'a' }, taints: ['dedicated=db:NoSchedule'] })
    expect(step).toMatchObject({ host: '10.0.0.1', lane: '10.0.0.2', undo: 'none' })
    const text = JSON.stringify(step!.do)
    expect(text).toContain('"label","node","node2","--overwrite","zone=a"')
    expect(text).toContain('"taint","node","node2","--overwrite","dedicated=db:NoSchedule"')
  })

  const marks = { labels: { 'a.b/zone': 'a', empty: '' }, taints: ['k=v:NoSchedule', 'q:NoExecute'] }
  it.each([
    ['[k=v:NoSchedule][q=:NoExecute][x=:NoSchedule]{"a.b/zone":"a","empty":"","more":"x"}', true],
    ['[k=v:NoSchedule][q=:NoExecute]{"a.b/zone":"ab","empty":""}', false],
    ['[k=v:NoSchedule][q=:NoExecute]{"a.b/zone":"a"}', false],
    ['[k=v:NoSchedule]{"a.b/zone":"a","empty":""}', false],
    ['[k=w:NoSchedule][q=:NoExecute]{"a.b/zone":"a","empty":""}', false],
    ['', false],
  ])('finds in %s whether all is set: %s', (printed, expected) => {
    expect(isMarked(marks, printed)).toBe(expected)
  })

  it('does not take silence for an answer', () => {
    expect(isMarked(marks, '', 1)).toBe(false)
  })
})
