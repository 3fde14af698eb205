import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { conformance } from '../support/k3s-conformance.ts'
import { findRelease, imagesOf, versionOf, type Bench, type Row } from '../support/k3s-conformance/bench.ts'
import { startLab, type Lab } from '../support/lab.ts'
import { makeStandinRelease } from '../support/standin-release.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'

// With K3S_REAL_DIR=<a release directory> the same rows run on a real k3s, one that runs on this machine; else on the stand-in.
const realDir = process.env['K3S_REAL_DIR']
const standinVersions = ['v1.31.4+k3s1', 'v1.21.2+k3s1']
const subjects =
  realDir === undefined
    ? standinVersions.map(version => ({ version, isStandin: true }))
    : [{ version: await versionOf(await findRelease(realDir)), isStandin: false }]

describe.each(subjects)('k3s $version (stand-in: $isStandin)', ({ version, isStandin }) => {
  let lab: Lab
  let bench: Bench
  let scratch: Scratch

  beforeAll(async () => {
    scratch = await makeScratch()
    if (isStandin) await makeStandinRelease(scratch.path, { tag: version, arches: ['amd64'] })
    const release = await findRelease(realDir ?? scratch.path)
    lab = await startLab(['node1', 'node2', { name: 'noexec', mountOptions: 'noexec' }])
    bench = {
      version,
      isStandin,
      release,
      images: await imagesOf(release),
      server: lab.host('node1'),
      agent: lab.host('node2'),
      noexec: lab.host('noexec'),
    }
  })
  afterAll(async () => {
    await lab[Symbol.asyncDispose]()
    await scratch[Symbol.asyncDispose]()
  })

  const reasonAgainst = (row: Row): string | undefined => row.not?.(version)
  const asked = conformance.map(({ title, rows }) => ({
    title,
    rows: rows.filter(row => reasonAgainst(row) === undefined),
  }))
  describe.for(asked.filter(({ rows }) => rows.length > 0))('$title', ({ rows }) => {
    // oxlint-disable-next-line vitest/expect-expect -- the rows assert
    it.for(rows)('$claim [$fact]', async row => await row.run(bench))
  })

  // The stand-in runs as several versions, which leave out no row (below). A real k3s is one version: what it cannot be asked is said.
  if (!isStandin)
    it('lists what this version cannot be asked', () => {
      const unasked = conformance.flatMap(({ rows }) => rows).filter(row => reasonAgainst(row) !== undefined)
      for (const row of unasked) {
        console.warn(`not asked: ${row.claim} [${row.fact}]: ${reasonAgainst(row)}`)
        expect(reasonAgainst(row)).toContain(version)
      }
    })
})

describe('the table', () => {
  it('has no row that no version of the stand-in runs', () => {
    const rows = conformance.flatMap(chapter => chapter.rows)
    const idle = rows.filter(({ not }) => standinVersions.every(version => not?.(version) !== undefined))
    expect(idle.map(({ claim }) => claim)).toEqual([])
  })
})
