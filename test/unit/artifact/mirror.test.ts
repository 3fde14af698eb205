import { beforeAll, describe, expect, it } from 'vitest'
import { artifactsOf } from '../../../src/artifact/distribution.ts'
import { locationsOf, mirroredChannels, parseMirror, rewrite } from '../../../src/artifact/mirror.ts'
import { loadTemplate, type Template } from '../../../src/artifact/template.ts'
import { testContext } from '../../support/test-context.ts'
import { amd64 } from './release-fixture.ts'

let k3s: Template

beforeAll(async () => {
  k3s = await loadTemplate('k3s', '/', testContext())
})

function places(name: string, ...mirrors: readonly string[]): readonly string[] {
  const artifact = artifactsOf(k3s, 'v1.31.4+k3s1', amd64).find(found => found.name === name)!
  return locationsOf(
    artifact.forms[0],
    artifact,
    mirrors.map(text => parseMirror(text, '/work')),
  ).map(String)
}

describe('a mirror of URLs', () => {
  const url = 'https://github.com/k3s-io/k3s/releases/download/v1.31.4%2Bk3s1/k3s'
  it.each([
    [
      'another host',
      ['https://github.com=https://gh.corp'],
      ['https://gh.corp/k3s-io/k3s/releases/download/v1.31.4%2Bk3s1/k3s'],
    ],
    [
      'a deeper prefix',
      ['https://github.com/k3s-io/k3s/releases/download/=http://m/dl/'],
      ['http://m/dl/v1.31.4%2Bk3s1/k3s'],
    ],
    [
      'the longest prefix',
      ['https://github.com=https://a', 'https://github.com/k3s-io=https://b'],
      ['https://b/k3s/releases/download/v1.31.4%2Bk3s1/k3s'],
    ],
    [
      'several for one prefix, in order',
      ['https://github.com=https://a', 'https://github.com/=https://b/x'],
      [
        'https://a/k3s-io/k3s/releases/download/v1.31.4%2Bk3s1/k3s',
        'https://b/x/k3s-io/k3s/releases/download/v1.31.4%2Bk3s1/k3s',
      ],
    ],
    ['not half a name', ['https://github.com/k3s=https://a'], [url]],
    ['not another host that begins alike', ['https://github.co=https://a'], [url]],
    ['not another scheme', ['http://github.com=https://a'], [url]],
    [
      'a query that stays',
      ['https://github.com=https://a/?sig=1'],
      ['https://a/k3s-io/k3s/releases/download/v1.31.4%2Bk3s1/k3s?sig=1'],
    ],
    [
      'a directory',
      ['https://github.com/k3s-io/k3s/releases/download=/srv/k3s'],
      ['file:///srv/k3s/v1.31.4%2Bk3s1/k3s', 'file:///srv/k3s/v1.31.4%252Bk3s1/k3s'],
    ],
  ])('%s', (_name, mirrors, expected) => {
    expect(
      rewrite(
        new URL(url),
        mirrors.map(text => parseMirror(text, '/work')),
      ).map(String),
    ).toEqual(expected)
  })
})

describe('a mirror of a template', () => {
  it.each([
    [
      'http',
      'k3s=http://127.0.0.1:8080/k3s/',
      [
        'http://127.0.0.1:8080/k3s/v1.31.4%2Bk3s1/k3s',
        'http://127.0.0.1:8080/k3s/v1.31.4+k3s1/k3s',
        'http://127.0.0.1:8080/k3s/v1.31.4-k3s1/k3s',
        'http://127.0.0.1:8080/k3s/k3s',
      ],
    ],
    [
      'an absolute path',
      'k3s=/srv/release dir',
      [
        'file:///srv/release%20dir/v1.31.4%2Bk3s1/k3s',
        'file:///srv/release%20dir/v1.31.4%252Bk3s1/k3s',
        'file:///srv/release%20dir/v1.31.4-k3s1/k3s',
        'file:///srv/release%20dir/k3s',
      ],
    ],
    [
      'a relative path',
      'k3s=mirror',
      [
        'file:///work/mirror/v1.31.4%2Bk3s1/k3s',
        'file:///work/mirror/v1.31.4%252Bk3s1/k3s',
        'file:///work/mirror/v1.31.4-k3s1/k3s',
        'file:///work/mirror/k3s',
      ],
    ],
    [
      'a file: URL',
      'k3s=file:///srv/a%2Bb',
      [
        'file:///srv/a%2Bb/v1.31.4%2Bk3s1/k3s',
        'file:///srv/a%2Bb/v1.31.4%252Bk3s1/k3s',
        'file:///srv/a%2Bb/v1.31.4-k3s1/k3s',
        'file:///srv/a%2Bb/k3s',
      ],
    ],
  ])('at %s stands for all sources', (_name, mirror, expected) => {
    expect(places('k3s', mirror)).toEqual(expected)
  })

  it('takes a path as written, then percent-decoded', () => {
    expect(places('k3s', 'k3s=/srv/v1.31.4%2Bk3s1').filter(url => !url.includes('k3s1/v1'))).toEqual([
      'file:///srv/v1.31.4%252Bk3s1/k3s',
      'file:///srv/v1.31.4+k3s1/k3s',
    ])
  })

  it('has install.sh and channels.json beside the assets', () => {
    expect(places('install.sh', 'k3s=http://m').at(-1)).toBe('http://m/install.sh')
    expect(mirroredChannels('k3s', [parseMirror('k3s=http://m/x', '/')])?.map(String)).toEqual([
      'http://m/x/channels.json',
    ])
  })

  it('leaves other templates alone', () => {
    expect(places('install.sh', 'k0s=/srv')).toEqual([
      'https://raw.githubusercontent.com/k3s-io/k3s/v1.31.4%2Bk3s1/install.sh',
    ])
    expect(mirroredChannels('k3s', [parseMirror('k0s=/srv', '/')])).toBeUndefined()
  })
})

it.each(['', 'k3s', 'k3s=', '=x', 'k3s=ftp://m/x', 'k3s=oci://m/x', 'Not A Name=/srv'])(
  'refuses --mirror "%s"',
  text => {
    expect(() => parseMirror(text, '/')).toThrow(expect.objectContaining({ code: 'USAGE' }))
  },
)
