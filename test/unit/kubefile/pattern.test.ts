import { describe, expect, it } from 'vitest'
import { hasWildcards, matchPattern } from '../../../src/kubefile/pattern.ts'

describe('matchPattern', () => {
  it.each<readonly [pattern: string, name: string, matches: boolean]>([
    ['', '', true],
    ['', 'a', false],
    ['a', '', false],
    ['abc', 'abc', true],
    ['abc', 'abcd', false],
    ['abc', 'ab', false],
    ['*', '', true],
    ['*', 'abc', true],
    ['*', 'a/b', false],
    ['*c', 'abc', true],
    ['a*', 'a', true],
    ['a*', 'abc', true],
    ['a*', 'ab/c', false],
    ['a*/b', 'abc/b', true],
    ['a*/b', 'a/c/b', false],
    ['a*b*c', 'axxbxxc', true],
    ['a*b*c', 'axxbxx', false],
    ['*.tar', 'x.tar', true],
    ['*.tar', 'x.tar.zst', false],
    ['**', 'ab', true],
    ['**', 'a/b', false],
    ['a/**/b', 'a/x/b', true],
    ['a/**/b', 'a/x/y/b', false],
    ['a/**/b', 'a/b', false],
    ['?', 'a', true],
    ['?', '', false],
    ['?', '/', false],
    ['?', '🚀', true],
    ['??', '🚀', false],
    ['a?c', 'abc', true],
    ['[a-c]', 'b', true],
    ['[a-c]', 'd', false],
    ['[^a-c]', 'd', true],
    ['[^a-c]', 'b', false],
    ['[abc]', 'c', true],
    ['[a-cx-z]', 'y', true],
    ['[a^]', '^', true],
    ['[!a]', '!', true],
    ['[\\]]', ']', true],
    ['[\\-x]', '-', true],
    ['[^a]', '/', true],
    ['x[0-9]*', 'x7abc', true],
    ['[а-я]', 'ж', true],
    ['a]', 'a]', true],
    ['\\*', '*', true],
    ['\\*', 'a', false],
    ['a\\?', 'a?', true],
    ['\\a', 'a', true],
    ['.*', '.hidden', true],
    ['*', '.hidden', true],
  ])('%s and "%s": %s', (pattern, name, matches) => {
    expect(matchPattern(pattern, name)).toBe(matches)
  })

  it.each(['[', '[a', '[]', '[]a]', '[^]', '[a-]', '[-a]', '[a-', '\\', 'a\\', '[\\'])('refuses %s', pattern => {
    expect(() => matchPattern(pattern, 'a')).toThrow(/reading pattern/)
  })
})

it.each<readonly [text: string, has: boolean]>([
  ['plain/path', false],
  ['*', true],
  ['a?', true],
  ['[a]', true],
  ['a\\b', true],
])('hasWildcards %s', (text, has) => {
  expect(hasWildcards(text)).toBe(has)
})
