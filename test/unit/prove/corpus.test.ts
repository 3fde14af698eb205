import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { nodeName, parseReference } from '../../../src/core/reference.ts'
import { Bundle } from '../../../src/prove/bundle.ts'
import { proveBundle } from '../../../src/prove/prove-bundle.ts'
import type { Guess } from '../../../src/workload/discovery.ts'
import type { ImageRequest } from '../../../src/workload/image-request.ts'
import { listDirectory } from '../../support/directory-image.ts'
import { sampleBundle } from '../../support/sample-bundle.ts'
import { testContext } from '../../support/test-context.ts'

// The trees and what they ask for are somebody else's: test/corpus/workload/README.md.
const corpus = join(import.meta.dirname, '../../corpus/workload')
const cases = readdirSync(corpus).filter(name => existsSync(join(corpus, name, 'expected.json')))
const { metadata } = sampleBundle()

describe('of a tree that brings no images', () => {
  it.each(cases)('every image that it asks for is missing, with who asks: %s', async name => {
    const { images, guesses } = JSON.parse(readFileSync(join(corpus, name, 'expected.json'), 'utf8')) as {
      images: readonly ImageRequest[]
      guesses: readonly Guess[]
    }
    const entries = await listDirectory(join(corpus, name))
    const none = { artifacts: [], files: [], images: [], collected: [], launch: { applications: [], commands: [] } }
    const platform = { os: 'linux', arch: 'amd64' } as const
    const bundle = new Bundle(
      { platform, digest: `sha256:${'0'.repeat(64)}`, metadata: { ...metadata, ...none } },
      entries,
    )
    const { gaps } = await proveBundle(bundle, () => Promise.resolve(undefined), testContext())
    const place = ({ file, line, field }: Pick<ImageRequest, 'file' | 'line' | 'field'>): string =>
      `${file}:${line} ${field}`
    const wanted = images.map(request => {
      const what = request.source === undefined ? nodeName(parseReference(request.image)) : request.image
      return `${what} < ${place(request)}`
    })
    const found = gaps
      .filter(({ kind }) => kind === 'image')
      .flatMap(({ what, askedBy }) => askedBy.map(asker => `${what} < ${place(asker)}`))
    // Discovery leaves scripts to a person; here it is known which commands run.
    const inScripts = guesses.flatMap(guess =>
      guess.why === 'in-script' ? [`${nodeName(parseReference(guess.text))} < ${place(guess)}`] : [],
    )
    expect(found.filter(gap => !inScripts.includes(gap)).sort()).toEqual([...new Set(wanted)].sort())
  })
})
