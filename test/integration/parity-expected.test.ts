import { readFileSync } from 'node:fs'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openStore, type Store } from '../../src/oci/store/store.ts'
import { expectedCopyCases } from '../parity/expected-copy-cases.ts'
import { expectedLanguageCases } from '../parity/expected-language-cases.ts'
import { buildHere } from '../support/build-here.ts'
import { must } from '../support/command.ts'
import { writeContextFiles } from '../support/context-files.ts'
import type { ExpectedCase } from '../support/expected-case.ts'
import { expectedTree } from '../support/expected-tree.ts'
import { startServer, type TestServer } from '../support/http-server.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'
import { treeDifferences, type TreeListing } from '../support/tree-listing.ts'

const cases = [...expectedCopyCases, ...expectedLanguageCases]

let scratch: Scratch
let store: Store
let server: TestServer

beforeAll(async () => {
  scratch = await makeScratch()
  store = await openStore(join(scratch.path, 'store'))
  server = await startServer((request, response) => {
    const path = join(scratch.path, new URL(request.path, 'http://localhost').pathname)
    response.end(readFileSync(path))
  })
})
afterAll(async () => {
  await server.close()
  await scratch[Symbol.asyncDispose]()
})

/** Packed as the name says. */
async function writeArchive(path: string, files: readonly string[]): Promise<void> {
  const content = `${path}.d`
  writeContextFiles(content, files)
  await must(['tar', '--owner=0', '--group=0', '-C', content, '-cf', `${path}.plain`, ...(await readdir(content))])
  const plain = readFileSync(`${path}.plain`)
  await must(['rm', '-r', content, `${path}.plain`])
  await writeFile(path, path.endsWith('gz') ? gzipSync(plain) : path.endsWith('zst') ? zstdCompressSync(plain) : plain)
}

async function build(one: ExpectedCase): Promise<TreeListing> {
  const at = join(scratch.path, one.name)
  writeContextFiles(join(at, 'context'), one.files ?? [])
  writeContextFiles(join(at, 'remote'), [...(one.remote ?? []), 'r/'])
  for (const [name, files] of Object.entries(one.archives ?? {})) await writeArchive(join(at, 'context', name), files)
  for (const [name, files] of Object.entries(one.remoteArchives ?? {}))
    await writeArchive(join(at, 'remote', name), files)
  const lines = one.lines.replaceAll('URL', `${server.url}/${one.name}/remote`)
  const { buildArgs = {}, target } = one
  const wishes = { buildArgs, ...(target === undefined ? {} : { target }) }
  const withFrom = /^[\s\S]*^(?:\uFEFF)?FROM /m.test(lines) ? lines : `FROM scratch\n${lines}`
  const request = { lines: withFrom, context: join(at, 'context'), ...wishes }
  return (await buildHere(store, request, join(at, 'tree'))).tree
}

const named = (one: ExpectedCase) => [`${one.name} (§${one.section})`, one] as const
const trees = cases.filter(({ error }) => error === undefined)
const refusals = cases.filter(({ error }) => error !== undefined)

describe('builds whose tree facts/oci.md says', () => {
  it.each(trees.map(named))('%s', async (_, one) => {
    const tree = new Map(await build(one))
    for (const path of one.beside ?? []) expect(tree.delete(path)).toBe(true)
    expect(treeDifferences(tree, expectedTree(one.tree ?? []))).toEqual([])
  })

  it('are as many as promised, each by a name of its own', () => {
    expect(new Set(cases.map(({ name }) => name)).size).toBe(cases.length)
    expect(trees.length).toBeGreaterThanOrEqual(80)
  })
})

describe('builds that are refused', () => {
  it.each(refusals.map(named))('%s', async (_, one) => {
    await expect(build(one)).rejects.toThrow(one.error)
  })
})
