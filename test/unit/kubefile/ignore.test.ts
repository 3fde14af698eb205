import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isIgnored, mayReinclude, parseIgnore } from '../../../src/kubefile/ignore.ts'

describe('isIgnored', () => {
  it.each<readonly [rules: string, ignored: readonly string[], kept: readonly string[]]>([
    ['', [], ['a']],
    ['a', ['a', 'a/b', 'a/b/c'], ['b', 'ab', 'b/a']],
    ['a/b', ['a/b', 'a/b/c'], ['a', 'a/c', 'x/a/b']],
    ['/a', ['a', 'a/b'], ['b/a']],
    ['a/', ['a', 'a/b'], []],
    ['./a', ['a'], []],
    ['a//b/../c', ['a/c'], ['a/b']],
    ['  a  ', ['a'], []],
    ['a\r\nb\r\n', ['a', 'b'], []],
    ['\uFEFFa', ['a'], []],
    ['# note\n#a\n #b', ['#b'], ['#a', 'note']],
    ['\n\n', [], ['a']],
    ['*', ['a', '.hidden', 'a/b'], []],
    ['*.md', ['x.md', 'x.md/y'], ['a/x.md', 'x.mdx']],
    ['*/*.md', ['a/x.md'], ['x.md', 'a/b/x.md']],
    ['a?', ['ab', 'ab/c'], ['a', 'abc']],
    ['**', ['a', 'a/b'], []],
    ['**/x', ['x', 'a/x', 'a/b/x', 'a/x/b'], ['ax', 'a/bx']],
    ['a/**', ['a/b', 'a/b/c'], ['a', 'ab']],
    ['a/**/x', ['a/x', 'a/b/x', 'a/b/c/x'], ['a', 'a/bx', 'ax']],
    ['**/*.md', ['x.md', 'a/b/x.md'], ['x.mdx']],
    ['**/a/**', ['a/b', 'x/a/b/c'], ['a', 'x/a']],
    ['a**b', ['ab', 'a/b', 'ax/b', 'a/x/b'], ['axb', 'a/xb']],
    ['[a-c]', ['a', 'b/x'], ['d']],
    ['\\*', ['*'], ['a']],
    ['*\n!a', ['b', 'b/a'], ['a', 'a/b']],
    ['*\n!a\na/x', ['a/x', 'a/x/y', 'b'], ['a', 'a/b']],
    ['a\n!a/b', ['a', 'a/c'], ['a/b', 'a/b/c']],
    ['!a\na', ['a', 'a/b'], []],
    ['a\n! b', ['a'], ['b']],
    ['*\n!**/*.yaml', ['a', 'a/b.txt'], ['x.yaml', 'a/b/x.yaml']],
    ['a\n!/a/b/', ['a/c'], ['a/b']],
  ])('%j', (text, ignored, kept) => {
    const rules = parseIgnore(text)
    expect(ignored.filter(path => !isIgnored(rules, path))).toEqual([])
    expect(kept.filter(path => isIgnored(rules, path))).toEqual([])
  })

  it('refuses a lone "!"', () => {
    expect(() => parseIgnore('a\n!\n')).toThrow(/line 2/)
  })

  it('refuses a malformed pattern', () => {
    expect(() => parseIgnore('[a')).toThrow(/reading pattern/)
  })
})

describe('mayReinclude', () => {
  it.each<readonly [rules: string, directory: string, may: boolean]>([
    ['a', 'a', false],
    ['a\n!a/b', 'a', true],
    ['a\n!a/b', 'a/c', false],
    ['a\n!a/b/c', 'a/b', true],
    ['a\n!b', 'a', false],
    ['*\n!**/*.yaml', 'a', true],
    ['*\n!*.yaml', 'a', false],
    ['*\n!*/x', 'a', true],
    ['*\n!*/x', 'a/b', false],
    ['!a/b\na', 'a', false],
    ['*\n!a/b\na/b', 'a', true],
    ['*\n!a/b\na/b', 'a/b', false],
  ])('%j below %s: %s', (text, directory, may) => {
    expect(mayReinclude(parseIgnore(text), directory)).toBe(may)
  })

  it('never denies a path that isIgnored keeps', () => {
    const part = fc.constantFrom('a', 'b', '*', '**', '?', 'a*')
    const pattern = fc.tuple(fc.constantFrom('', '!'), fc.array(part, { minLength: 1, maxLength: 3 }))
    const rules = fc.array(pattern, { maxLength: 5 }).map(lines => lines.map(([mark, parts]) => mark + parts.join('/')))
    const path = fc.array(fc.constantFrom('a', 'b', 'ab'), { minLength: 2, maxLength: 4 })
    fc.assert(
      fc.property(rules, path, (lines, parts) => {
        const parsed = parseIgnore(lines.join('\n'))
        const parents = parts.slice(1).map((_, index) => parts.slice(0, index + 1).join('/'))
        const isHidden = parents.some(parent => isIgnored(parsed, parent) && !mayReinclude(parsed, parent))
        expect(isHidden && !isIgnored(parsed, parts.join('/'))).toBe(false)
      }),
      { numRuns: 2000 },
    )
  })
})
