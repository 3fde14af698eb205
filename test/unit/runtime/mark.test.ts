import { spawnSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { markSteps } from '../../../src/runtime/k3s/mark.ts'
import { formatMarks, parseMarks } from '../../../src/runtime/k3s/marks-note.ts'
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
function isMarked(marks: Marks, printed: string, code = 0, marked?: Marks): boolean {
  const [step] = markSteps(node, cluster, via, marks, marked)
  const done = step!.done
  if (done.probe !== 'command') throw new Error('another probe')
  const [shell, ...args] = [...done.argv.slice(0, 6), 'sh', '-c', `printf '%s' "$1"; exit ${code}`, 'kubectl', printed]
  return spawnSync(shell, args).status === 0
}

describe('markSteps', () => {
  it('plans nothing where there is nothing to mark', () => {
    expect(markSteps(node, cluster, via, { labels: {}, taints: [] }, undefined)).toEqual([])
  })

  it('sets labels and taints by kubectl on a server', () => {
    const wanted = { labels: { zone: 'a' }, taints: ['dedicated=db:NoSchedule'] }
    const [step] = markSteps(node, cluster, via, wanted, undefined)
    expect(step).toMatchObject({ host: '10.0.0.1', lane: '10.0.0.2', undo: 'none' })
    const text = JSON.stringify(step!.do)
    expect(text).toContain('"label","node","node2","--overwrite","zone=a"')
    expect(text).toContain('"taint","node","node2","--overwrite","dedicated=db:NoSchedule"')
    expect(text).toContain('"cloudimg.io/marks=dedicated=db:NoSchedule zone=a"')
  })

  it('takes away what it once set, and forgets it', () => {
    const marked = { labels: { zone: 'a', keep: 'b' }, taints: ['dedicated=db:NoSchedule', 'k=1:NoExecute'] }
    const [step] = markSteps(node, cluster, via, { labels: { keep: 'c' }, taints: ['k=2:NoExecute'] }, marked)
    const text = JSON.stringify(step!.do)
    expect(text).toContain('"label","node","node2","--overwrite","keep=c","zone-"')
    expect(text).toContain('"taint","node","node2","--overwrite","k=2:NoExecute","dedicated:NoSchedule-"')
    const [last] = markSteps(node, cluster, via, { labels: {}, taints: [] }, { labels: {}, taints: [] })
    expect(JSON.stringify(last!.do)).toContain('"cloudimg.io/marks-"')
  })

  it.each([
    ['[k=1:NoExecute]{"keep":"c"}marks(keep=c)', false],
    ['{"keep":"c","zone":"a"}marks(keep=c)', false],
    ['{"keep":"c"}marks(keep=c zone=a)', false],
    ['[x=1:NoExecute]{"keep":"c","other":"a"}marks(keep=c)', true],
  ])('finds in %s whether all that should go is gone', (printed, expected) => {
    const marked = { labels: { zone: 'a' }, taints: ['k=1:NoExecute'] }
    expect(isMarked({ labels: { keep: 'c' }, taints: [] }, printed, 0, marked)).toBe(expected)
  })

  it('notes what it has set in words that it reads again', () => {
    const some: Marks = { labels: { 'a.b/c': 'd', empty: '' }, taints: ['a.b/k=v:NoSchedule', 'q=:NoExecute'] }
    expect(parseMarks(formatMarks(some))).toEqual(some)
    expect(parseMarks('')).toEqual({ labels: {}, taints: [] })
  })

  const marks = { labels: { 'a.b/zone': 'a', empty: '' }, taints: ['k=v:NoSchedule', 'q:NoExecute'] }
  it.each([
    [
      '[k=v:NoSchedule][q=:NoExecute][x=:NoSchedule]{"a.b/zone":"a","empty":"","more":"x"}marks(a.b/zone=a empty= k=v:NoSchedule q=:NoExecute)',
      true,
    ],
    ['[k=v:NoSchedule][q=:NoExecute]{"a.b/zone":"a","empty":""}marks()', false],
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
