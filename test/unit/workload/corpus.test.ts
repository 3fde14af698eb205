import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { directoryTree } from '../../../src/workload/directory-tree.ts'
import { discoverImages } from '../../../src/workload/discover-images.ts'
import type { Discovery, Guess, Unreadable } from '../../../src/workload/discovery.ts'
import type { ImageRequest } from '../../../src/workload/image-request.ts'
import { testContext } from '../../support/test-context.ts'

// The cases and what must be found in them are somebody else's; README.md there has the rules.
const corpus = join(import.meta.dirname, '../../corpus/workload')
const cases = readdirSync(corpus).filter(name => existsSync(join(corpus, name, 'expected.json')))

interface Expected {
  readonly images: readonly ImageRequest[]
  readonly guesses: readonly Guess[]
  readonly unreadable: readonly Unreadable[]
}

function expectedOf(name: string): Expected {
  return JSON.parse(readFileSync(join(corpus, name, 'expected.json'), 'utf8')) as Expected
}

async function discover(name: string): Promise<Discovery> {
  return await discoverImages(await directoryTree(join(corpus, name)), {}, testContext())
}

describe('the corpus', () => {
  it('is as it was frozen', () => {
    const lines = readFileSync(join(corpus, 'FROZEN.sha256'), 'utf8').trim().split('\n')
    for (const line of lines) {
      const [sum, path] = line.split(/\s+\*?/)
      const found = createHash('sha256')
        .update(readFileSync(join(corpus, path!)))
        .digest('hex')
      expect(`${found} ${path}`).toBe(`${sum} ${path}`)
    }
    expect(cases.length).toBeGreaterThan(50)
  })

  it.each(cases)('%s: nothing missed, nothing invented', async name => {
    const { requests, guesses, unreadable } = await discover(name)
    expect({ images: requests, guesses, unreadable }).toEqual(expectedOf(name))
  })

  it('gives the same in 300 runs, whatever runs beside', async () => {
    const runs = await Promise.all(Array.from({ length: 300 }, () => discover('whole-bundle')))
    const texts = new Set(runs.map(run => JSON.stringify(run)))
    expect(texts.size).toBe(1)
  })
})
