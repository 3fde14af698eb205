import { describe, expect, it } from 'vitest'
import { commandPlace, kubefileLines, launchPlace, linesOfLayers } from '../../../src/prove/kubefile-lines.ts'

const lines = kubefileLines(`FROM base:1
BASE k3s@v1.31.4+k3s1

COPY a /a
LABEL x=y
COPY . .
APPCMDS web ["kubectl", "get", "pods"]
LAUNCH ["web"]
`)

describe('linesOfLayers', () => {
  it.each<[what: string, createdBy: readonly string[], expected: readonly (number | undefined)[]]>([
    ['in order', ['BASE k3s@v1.31.4+k3s1', 'COPY a /a', 'COPY . .'], [2, 4, 6]],
    ['several of one instruction', ['COPY a /a', 'COPY a /a # a/large', 'COPY . .'], [4, 4, 6]],
    [
      'of a base image that says the same',
      ['COPY . .', 'RUN x', 'COPY a /a', 'COPY . .'],
      [undefined, undefined, 4, 6],
    ],
    ['of cloudimg itself', ['COPY . .', 'cloudimg: container images'], [6, undefined]],
    ['none', [], []],
  ])('%s', (_, createdBy, expected) => {
    expect(linesOfLayers(lines, createdBy)).toEqual(expected)
  })
})

describe('what starts the applications', () => {
  it('has its line', () => {
    expect(launchPlace(lines)).toEqual({ file: 'Kubefile', line: 8, field: 'LAUNCH' })
    expect(commandPlace(lines, 'web')).toEqual({ file: 'Kubefile', line: 7, field: 'APPCMDS' })
  })

  it('is in the Metadata where a base image brought it', () => {
    expect(launchPlace([])).toEqual({ file: 'Metadata', line: 0, field: 'launch' })
    expect(commandPlace(lines, 'db')).toEqual({ file: 'Metadata', line: 0, field: 'applications.db.command' })
  })
})
