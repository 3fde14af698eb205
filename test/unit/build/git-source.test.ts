import { describe, expect, it } from 'vitest'
import { type GitSource, isGitSource, parseGitSource } from '../../../src/build/git-source.ts'

describe('a git source', () => {
  it.each([
    'https://example.com/a.git',
    'https://example.com/a.git#main',
    'https://example.com/a.git?ref=main',
    'http://example.com:8080/a/b.git#:sub',
    'git://example.com/a',
    'ssh://git@example.com/a',
    'git@example.com:a/b',
    'git@example.com:a/b.git#v1',
  ])('is %s', text => {
    expect(isGitSource(text)).toBe(true)
  })

  it.each([
    'a.git',
    'dir/a.git',
    'https://example.com/a',
    'https://example.com/?x=a.git',
    'a@b',
    'host:path',
    '/a.git',
  ])('is not %s', text => {
    expect(isGitSource(text)).toBe(false)
  })

  const plain = { ref: undefined, subdirectory: '', keepGitDir: false, checksum: undefined }
  it.each<[text: string, source: Partial<GitSource>]>([
    ['https://x/a.git', { remote: 'https://x/a.git' }],
    ['https://x/a.git#', { remote: 'https://x/a.git' }],
    ['https://x/a.git#main', { remote: 'https://x/a.git', ref: 'main' }],
    ['https://x/a.git#main:d/e/', { remote: 'https://x/a.git', ref: 'main', subdirectory: 'd/e' }],
    ['https://x/a.git#a:b:c~1', { remote: 'https://x/a.git', ref: 'a', subdirectory: 'b:c~1' }],
    ['https://x/a.git#:d', { remote: 'https://x/a.git', subdirectory: 'd' }],
    ['https://x/a.git#:../../d', { remote: 'https://x/a.git', subdirectory: 'd' }],
    ['git@x:a/b.git#refs/pull/7/head', { remote: 'git@x:a/b.git', ref: 'refs/pull/7/head' }],
    ['https://x/a.git?branch=b&subdir=d', { remote: 'https://x/a.git', ref: 'refs/heads/b', subdirectory: 'd' }],
    ['https://x/a.git?tag=v1&keep-git-dir=true', { remote: 'https://x/a.git', ref: 'refs/tags/v1', keepGitDir: true }],
    ['https://x/a.git?ref=v1&checksum=0123abc', { remote: 'https://x/a.git', ref: 'v1', checksum: '0123abc' }],
    ['https://x/a.git?keep-git-dir=0', { remote: 'https://x/a.git' }],
  ])('%s is read', (text, source) => {
    expect(parseGitSource(text)).toEqual({ ...plain, ...source })
  })

  it.each([
    ['https://x/a.git#--upload-pack=x', 'is no ref'],
    ['https://x/a.git#a..b', 'is no ref'],
    ['https://x/a.git#a b', 'is no ref'],
    ['https://u:p@x/a.git', 'it has credentials in it'],
    ['https://token@x/a.git', 'it has credentials in it'],
    ['ssh://u:p@x/a.git', 'it has credentials in it'],
    ['https://x/a.git?ref=a&tag=b', 'it names more than one ref'],
    ['https://x/a.git?depth=1', '"depth" is none of its words'],
    ['https://x/a.git?ref=a#b', 'it has both "?" and "#"'],
    ['https://x/a.git?checksum=main', '"main" is no commit'],
  ])('%s: %s', (text, why) => {
    expect(() => parseGitSource(text)).toThrow(why)
  })
})
