import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { resolveTemplateRef, versionMark } from '../../../src/kubefile/base-template.ts'
import { expandWord } from '../../../src/kubefile/expand.ts'
import { explainK3sVersion } from '../../../src/kubefile/k3s-version.ts'
import { splitHead, splitWords, unquoteWord } from '../../../src/kubefile/words.ts'

describe('splitWords', () => {
  it.each<readonly [text: string, words: readonly string[]]>([
    ['', []],
    ['  a \t b\r', ['a', 'b']],
    ['"a b" c', ['"a b"', 'c']],
    ["x'a b'y c", ["x'a b'y", 'c']],
    ['a\\ b c', ['a\\ b', 'c']],
    ['"a\\" b" c', ['"a\\" b"', 'c']],
    ["'a\\' b", ["'a\\'", 'b']],
    ['"open b c', ['"open b c']],
    ['a\\', ['a\\']],
    ['a\u00A0b', ['a\u00A0b']],
  ])('%j', (text, words) => {
    expect(splitWords(text, 0, '\\').map(({ start, end }) => text.slice(start, end))).toEqual(words)
  })
})

describe('splitHead', () => {
  it.each<readonly [text: string, flags: readonly string[], rest: string]>([
    ['RUN', [], ''],
    ['RUN x', [], 'x'],
    ['RUN --a --b=c x --d', ['--a', '--b=c'], 'x --d'],
    ['RUN --a="b c" x', ['--a="b c"'], 'x'],
    ['RUN -- --a', [], '--a'],
    ['RUN --a -- --b', ['--a'], '--b'],
    ['RUN -a', [], '-a'],
    ['RUN --a', ['--a'], ''],
  ])('%s', (text, flags, rest) => {
    const head = splitHead(text, 0, '\\')
    expect(head.flags.map(({ start, end }) => text.slice(start, end))).toEqual(flags)
    expect(text.slice(head.rest)).toBe(rest)
  })
})

it('unquoteWord does what expandWord does where there are no variables', () => {
  const text = fc.array(fc.constantFrom('a', ' ', '"', "'", '\\', '`')).map(parts => parts.join(''))
  fc.assert(
    fc.property(text.filter(isClosed), word => {
      expect(unquoteWord(word, '\\')).toBe(expandWord(word, () => '').value)
    }),
    { numRuns: 1000 },
  )
})

function isClosed(word: string): boolean {
  try {
    return expandWord(word, () => '').unset.length === 0
  } catch {
    return false
  }
}

describe('a template', () => {
  it.each<readonly [text: string, mark: number | undefined]>([
    ['k3s', undefined],
    ['k3s@v1', 3],
    ['k3s@v1@x', 3],
    ['./a@b', undefined],
    ['../a@b', undefined],
    ['/a@b', undefined],
    ['.', undefined],
    ['${A:-x@y}@v1', 9],
    ['${A:-${B:-x@y}}', undefined],
    ['"a@b"', undefined],
    ["'a'@b", 3],
  ])('of %s has its version behind %s', (text, mark) => {
    expect(versionMark(text)).toBe(mark)
  })

  it.each<readonly [template: string, version: string | undefined, expected: readonly (string | undefined)[]]>([
    ['k3s', 'v1', ['k3s', 'v1']],
    ['k3s', undefined, ['k3s', undefined]],
    ['k3s@v1', undefined, ['k3s', 'v1']],
    ['./a@b', undefined, ['./a@b', undefined]],
    ['a@b', 'v1', ['a@b', 'v1']],
  ])('resolves %s and %s', (template, version, expected) => {
    const resolved = resolveTemplateRef(template, version)
    expect([resolved.template, resolved.version]).toEqual(expected)
  })
})

describe('explainK3sVersion', () => {
  it.each([
    'v1.25.3+k3s1',
    'v1.31.4-rc1+k3s1',
    'v1.36.4+k3s12',
    'stable',
    'latest',
    'v1.31',
    'testing',
    'v1.31-testing',
  ])('has nothing to say of %s', version => expect(explainK3sVersion(version)).toBeUndefined())

  it.each<readonly [version: string, hint: string, meant: string | undefined]>([
    ['v1.25.3', 'write v1.25.3+k3s1', undefined],
    ['1.25.3', 'write v1.25.3+k3s1', undefined],
    ['1.25.3+k3s2', 'write v1.25.3+k3s2', 'v1.25.3+k3s2'],
    ['v1.25.3-k3s2', 'write v1.25.3+k3s2', 'v1.25.3+k3s2'],
    ['v1.31.4-rc2', 'write v1.31.4-rc2+k3s1', undefined],
    ['v1.25.3+rke2r1', 'write a release such as v1.31.4+k3s1, or a channel such as stable', undefined],
  ])('of %s', (version, hint, meant) => {
    const expected = { message: expect.stringContaining(`"${version}"`), hint }
    expect(explainK3sVersion(version)).toEqual(meant === undefined ? expected : { ...expected, meant })
  })
})
