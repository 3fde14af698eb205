import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { artifactsOf } from '../../../src/artifact/distribution.ts'
import { loadTemplate, parseTemplate, templateFiles } from '../../../src/artifact/template.ts'
import { InvalidFileError } from '../../../src/core/invalid-file.ts'
import { testContext } from '../../support/test-context.ts'
import { amd64, Workbench } from './release-fixture.ts'

let bench: Workbench

beforeEach(async () => {
  bench = await Workbench.open()
})
afterEach(async () => {
  await bench.dispose()
})

const head = 'apiVersion: cloudimg.io/v1\nkind: RootfsTemplate\nname: mine\n'

async function put(files: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(bench.path(path)), { recursive: true })
    await writeFile(bench.path(path), text)
  }
}

describe('loadTemplate', () => {
  it('finds the built-in k3s', async () => {
    expect(await loadTemplate('k3s', '/', testContext())).toMatchObject({ name: 'k3s', runtime: 'k3s' })
  })

  it('takes a directory of the context, with its files and their modes', async () => {
    await put({
      't/rootfs.yaml': `${head}files:\n  - { path: etc/a.tmpl, mode: '0600' }\n  - { path: bin/x, mode: '0755' }\n`,
      't/etc/a.tmpl': 'a',
      't/bin/x': 'x',
      't/README.md': 'about',
    })
    const ctx = testContext()
    const template = await loadTemplate('./t', bench.directory, ctx)
    expect(await templateFiles(template)).toEqual([
      { path: 'etc/a.tmpl', source: bench.path('t/etc/a.tmpl'), mode: 0o600 },
      { path: 'bin/x', source: bench.path('t/bin/x'), mode: 0o755 },
    ])
    expect(ctx.seen).toEqual([])
  })

  it('warns of files that it would silently leave out', async () => {
    await put({ 't/rootfs.yaml': head, 't/etc/forgotten': 'x' })
    const ctx = testContext()
    await loadTemplate('./t', bench.directory, ctx)
    expect(ctx.seen).toEqual([
      expect.objectContaining({ kind: 'warning', message: expect.stringContaining('"etc/forgotten"') as string }),
    ])
  })

  it.each([
    ['k3x', 'ARTIFACT_UNKNOWN', 'did you mean k3s?'],
    ['openshift', 'ARTIFACT_UNKNOWN', 'use k3s, or write ./openshift for a directory of the context'],
    ['../k3s/../k3s', 'CONTEXT_INVALID', undefined],
    ['/etc', 'CONTEXT_INVALID', undefined],
    ['./none', 'ARTIFACT_UNKNOWN', undefined],
  ])('refuses %s', async (name, code, hint) => {
    await expect(loadTemplate(name, bench.directory, testContext())).rejects.toMatchObject({ code, hint })
  })

  it('refuses a listed file that is missing or a link', async () => {
    await put({ 't/rootfs.yaml': `${head}files: [{ path: a, mode: '0644' }]\n` })
    const template = await loadTemplate('./t', bench.directory, testContext())
    await expect(templateFiles(template)).rejects.toMatchObject({
      code: 'CONTEXT_INVALID',
      message: expect.stringMatching(/no such file/) as string,
    })
    await symlink('/etc/passwd', bench.path('t/a'))
    await expect(templateFiles(template)).rejects.toMatchObject({
      code: 'CONTEXT_INVALID',
      message: expect.stringMatching(/not a regular file/) as string,
    })
  })
})

describe('parseTemplate', () => {
  it('takes artifacts of any place, without versions', () => {
    const text = `${head}platforms: { amd64: { cpu: x86 } }
artifacts:
  - name: tool
    assets: ['tool-{cpu}']
    sources: [{ url: 'https://x.example/{asset}' }]
    target: { path: 'bin/{asset}', mode: '0755' }
`
    const [tool] = artifactsOf(parseTemplate(text, 'rootfs.yaml'), '', amd64)
    expect(tool?.forms).toEqual([
      {
        asset: 'tool-x86',
        locator: 'https://x.example/tool-x86',
        sources: [new URL('https://x.example/tool-x86')],
        target: { path: 'bin/tool-x86', mode: 0o755 },
      },
    ])
  })

  it.each([
    ['a typing mistake', `${head}artefacts: []\n`, 4, 1, /unknown key "artefacts"/, 'did you mean artifacts?'],
    ['a number as mode', `${head}files:\n  - path: a\n    mode: 0644\n`, 6, 11, /quoted octal number/, undefined],
    ['a path that leads out', `${head}files: [{ path: ../a, mode: '0644' }]\n`, 4, 17, /inside the rootfs/, undefined],
    ['no name', 'apiVersion: cloudimg.io/v1\nkind: RootfsTemplate\n', 1, 1, /^name:/, undefined],
    ['no YAML', `${head}files: [\n`, 5, 1, /./, undefined],
    ['a key twice', `${head}name: other\n`, 4, 1, /unique/, undefined],
    [
      'a word without a value',
      `${head}artifacts:\n  - name: a\n    assets: ['x-{arch}']\n    sources: [{ url: 'https://x/{asset}' }]\n`,
      6,
      13,
      /nothing gives \{arch\}/,
      undefined,
    ],
    ['no source', `${head}artifacts:\n  - name: a\n    assets: [x]\n`, 6, 13, /no source says/, undefined],
    [
      'checksums that nobody has',
      `${head}sources: [{ url: 'https://x/{asset}' }]\nartifacts:\n  - name: a\n    assets: [x]\n    checksummed: true\n`,
      8,
      18,
      /names no checksums file/,
      undefined,
    ],
    [
      'a target outside',
      `${head}sources: [{ url: 'https://x/{asset}' }]\nartifacts:\n  - name: a\n    assets: [x]\n    target: { path: ../x, mode: '0644' }\n`,
      8,
      13,
      /inside the rootfs/,
      undefined,
    ],
    [
      'an example that does not match',
      `${head}versions:\n  pattern: ^v(?<major>1)$\n  example: v2\n`,
      6,
      12,
      /does not match/,
      undefined,
    ],
    [
      'a pattern that orders nothing',
      `${head}versions:\n  pattern: ^v(?<major>1)$\n  example: v1\n`,
      5,
      12,
      /no group/,
      undefined,
    ],
    [
      'a pattern that is none',
      `${head}versions:\n  pattern: (\n  example: v1\n`,
      5,
      12,
      /no regular expression/,
      undefined,
    ],
    [
      'a name used twice',
      `${head}sources: [{ url: 'https://x/{asset}' }]\nartifacts:\n  - { name: a, assets: [x] }\n  - { name: a, assets: [y] }\n`,
      7,
      13,
      /used twice/,
      undefined,
    ],
  ])('points at %s', (_name, text, line, column, message, hint) => {
    let thrown: unknown
    try {
      parseTemplate(text, 'rootfs.yaml')
    } catch (error) {
      thrown = error
    }
    expect(thrown).toBeInstanceOf(InvalidFileError)
    const [first] = (thrown as InvalidFileError).diagnostics
    expect(first).toMatchObject({
      severity: 'error',
      message: expect.stringMatching(message) as string,
      span: { start: { line, column } },
    })
    expect(first?.hint).toBe(hint)
  })

  it('tells all mistakes at once', () => {
    const text = `${head}runtime: k4s\nfiles: [{ path: /a, mode: '0644' }, { path: b, mode: x }]\n`
    expect(() => parseTemplate(text, 'rootfs.yaml')).toThrow(
      expect.objectContaining({ diagnostics: expect.objectContaining({ length: 3 }) as object }),
    )
  })
})
