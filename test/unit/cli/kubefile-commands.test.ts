import { chmodSync, lstatSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createProgram } from '../../../src/cli/program.ts'
import type { Terminal } from '../../../src/cli/terminal.ts'

let context: string
beforeEach(() => {
  context = mkdtempSync(join(tmpdir(), 'cloudimg-kubefile-'))
})
afterEach(() => rmSync(context, { recursive: true }))

const file = (): string => join(context, 'Kubefile')
const write = (...lines: readonly string[]): void => writeFileSync(file(), `${lines.join('\n')}\n`)
const text = (): string => readFileSync(file(), 'utf8')

async function run(argv: readonly string[], stdin = '') {
  const out = { stdout: '', stderr: '' }
  const stream = (name: 'stdout' | 'stderr') =>
    ({ write: (part: string) => void (out[name] += part), columns: 100 }) as unknown as NodeJS.WriteStream
  const terminal: Terminal = {
    stdout: stream('stdout'),
    stderr: stream('stderr'),
    stdin: Readable.from([Buffer.from(stdin)]) as unknown as NodeJS.ReadStream,
    env: {},
  }
  const outcome = { code: 0 }
  await createProgram(terminal, outcome).parseAsync([...argv], { from: 'user' })
  return { ...out, code: outcome.code }
}

describe('lint', () => {
  it('is content with what is right', async () => {
    write('FROM scratch', 'COPY Kubefile etc/')
    expect(await run(['lint', context])).toEqual({ code: 0, stdout: `${file()}: nothing to mend\n`, stderr: '' })
  })

  it('shows each finding with its place and page, and counts them', async () => {
    write('FROM scratch', 'ENV A b', 'COPY missing /')
    const { code, stdout } = await run(['lint', context])
    expect(code).toBe(3)
    expect(stdout).toBe(`warning[legacy-key-value]: ENV A takes the rest of the line as its value
  ${file()}:2:1
    1 | FROM scratch
>>> 2 | ENV A b
      | ^^^
  hint: write ENV A=b
  see https://github.com/cloudimg/cloudimg/blob/main/docs/rules/legacy-key-value.md

error[missing-source]: "missing" is not in the context
  ${file()}:3:6
    2 | ENV A b
>>> 3 | COPY missing /
      |      ^^^^^^^
  hint: paths are relative to the root of the context
  see https://github.com/cloudimg/cloudimg/blob/main/docs/rules/missing-source.md

${file()}: 1 error, 1 warning
`)
  })

  it.each<[flags: readonly string[], code: number]>([
    [[], 0],
    [['--strict'], 3],
  ])('with warnings alone and %j ends with %i', async (flags, code) => {
    write('FROM scratch', 'ENV A b')
    expect((await run(['lint', ...flags, context])).code).toBe(code)
  })

  it('tells of what planning refuses, with the values of --build-arg', async () => {
    write('FROM scratch', 'ARG PORT', 'EXPOSE "${PORT:?say which}"')
    expect((await run(['lint', context])).stdout).toContain('PORT: say which')
    expect((await run(['lint', context, '--build-arg', 'PORT=70000'])).stdout).toContain('"70000" is no port')
    expect((await run(['lint', context, '--build-arg', 'PORT=80'])).code).toBe(0)
  })

  it('holds names against the lock', async () => {
    write('FROM alpine:3.20')
    expect((await run(['lint', context])).stdout).toContain('warning[unpinned-from]')
    const image = { locator: 'docker.io/library/alpine:3.20', platform: 'any', digest: `sha256:${'0'.repeat(64)}` }
    writeFileSync(`${file()}.lock`, JSON.stringify({ lockVersion: 1, images: [image] }))
    expect((await run(['lint', context])).stdout).toContain('nothing to mend')
  })

  it('has one JSON object', async () => {
    write('FROM scratch', 'ENV A b', 'COYP a b')
    const { stdout, code } = await run(['--json', 'lint', context])
    const answer = JSON.parse(stdout)
    expect(code).toBe(3)
    expect(answer).toMatchObject({ file: file(), errors: 1, warnings: 1, fixed: [] })
    expect(answer.diagnostics[0]).toEqual({
      rule: 'legacy-key-value',
      severity: 'warning',
      message: 'ENV A takes the rest of the line as its value',
      hint: 'write ENV A=b',
      span: { start: { offset: 13, line: 2, column: 1 }, end: { offset: 16, line: 2, column: 4 } },
      page: 'https://github.com/cloudimg/cloudimg/blob/main/docs/rules/legacy-key-value.md',
      fixable: true,
    })
    expect(answer.diagnostics[1]).toMatchObject({ rule: 'unknown-instruction', hint: 'did you mean COPY?' })
    expect(answer.diagnostics[1]).not.toHaveProperty('page')
  })

  it('mends the file in its place, and says what is left', async () => {
    write('FROM scratch', 'env A b', 'COPY missing /')
    chmodSync(file(), 0o600)
    const { code, stdout } = await run(['lint', '--fix', context])
    expect(text()).toBe('FROM scratch\nENV A=b\nCOPY missing /\n')
    expect(statSync(file()).mode & 0o777).toBe(0o600)
    expect([code, stdout.trimEnd().split('\n').at(-1)]).toEqual([3, `${file()}: 1 error, 0 warnings, 2 mended`])
  })

  it('reads stdin, and mends only files', async () => {
    expect((await run(['lint', '-f', '-', context], 'FROM scratch\nENV A b\n')).stdout).toContain('stdin:2:1')
    const refused = await run(['lint', '--fix', '-f', '-', context], 'FROM scratch\n')
    expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining('name the file with -f')])
  })

  it('refuses a target that is no stage', async () => {
    write('FROM scratch AS files', 'ENV A=b')
    const { code, stderr } = await run(['lint', '--target', 'flies', context])
    expect([code, stderr]).toEqual([2, expect.stringContaining('did you mean files?')])
  })
})

describe('fmt', () => {
  it('gives the canonical form', async () => {
    write('from   scratch', 'copy a   b')
    expect(await run(['fmt', context])).toEqual({ code: 0, stdout: 'FROM scratch\nCOPY a b\n', stderr: '' })
    expect((await run(['fmt', '-f', '-'], 'from scratch')).stdout).toBe('FROM scratch\n')
    expect(text()).toBe('from   scratch\ncopy a   b\n')
  })

  it('checks', async () => {
    write('from scratch')
    const { code, stdout } = await run(['fmt', '--check', context])
    expect([code, stdout]).toEqual([9, `${file()}: not in canonical form; cloudimg fmt --write -f ${file()}\n`])
    write('FROM scratch')
    expect(await run(['fmt', '--check', context])).toEqual({ code: 0, stdout: '', stderr: '' })
    expect((await run(['--json', 'fmt', '--check', context])).stdout).toBe(`{"file":"${file()}","formatted":true}\n`)
  })

  it('writes in place; a link stays one', async () => {
    write('from scratch')
    const link = join(context, 'link')
    symlinkSync('Kubefile', link)
    expect((await run(['fmt', '--write', '-f', link])).code).toBe(0)
    expect([text(), lstatSync(link).isSymbolicLink()]).toEqual(['FROM scratch\n', true])
  })

  it('leaves what does not parse', async () => {
    write('FROM scratch', 'COYP  a b')
    const { code, stderr } = await run(['fmt', '--write', context])
    expect([code, text()]).toEqual([3, 'FROM scratch\nCOYP  a b\n'])
    expect(stderr).toContain('unknown instruction "COYP"')
  })
})

describe('parse', () => {
  it('gives the syntax tree, with every field that there is', async () => {
    write('# note', 'FROM scratch AS x', 'COPY --chmod=0755 a <<b /', 'text', 'b')
    const { code, stdout } = await run(['--json', 'parse', context])
    const { astVersion, kubefile, diagnostics } = JSON.parse(stdout)
    expect([code, astVersion, diagnostics]).toEqual([0, 1, []])
    expect(Object.keys(kubefile)).toEqual([
      'filename',
      'escape',
      'directives',
      'globalArgs',
      'stages',
      'trailingComments',
    ])
    const [{ from, instructions }] = kubefile.stages
    expect(from).toMatchObject({ kind: 'FROM', image: { text: 'scratch' }, as: { text: 'x' }, comments: ['note'] })
    expect(instructions[0].sources[1]).toMatchObject({ name: 'b', body: 'text\n', expand: true, stripTabs: false })
    expect(instructions[0].target.span.start).toEqual({ offset: 49, line: 3, column: 25 })
  })

  it('gives the mistakes instead', async () => {
    write('FROM scratch', 'COYP a b')
    const json = await run(['--json', 'parse', context])
    expect([json.code, JSON.parse(json.stdout).kubefile]).toEqual([3, null])
    expect(JSON.parse(json.stdout).diagnostics[0]).toMatchObject({ rule: 'unknown-instruction' })
    const plain = await run(['parse', context])
    expect([plain.code, plain.stdout]).toEqual([3, ''])
    expect(plain.stderr).toContain('>>> 2 | COYP a b\n      | ^^^^\n  hint: did you mean COPY?')
  })

  it('outlines it for people, warnings below', async () => {
    write('ARG A', 'FROM scratch', 'CMD [a', '')
    expect((await run(['parse', context])).stdout).toBe('1:1     ARG A\n2:1     FROM scratch\n  3:1     CMD [a\n')
    write("CMD ['a']")
    const { stdout } = await run(['parse', context])
    expect(stdout).toMatch(/^ {8}FROM scratch \(implicit\)\n {2}1:1 {5}CMD \['a'\]\n\nwarning\[json-form\]/)
  })
})
