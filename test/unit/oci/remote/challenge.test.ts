import { describe, expect, it } from 'vitest'
import { parseChallenges } from '../../../../src/oci/remote/challenge.ts'

describe('parseChallenges', () => {
  it.each([
    ['Basic realm="x"', [{ scheme: 'basic', parameters: { realm: 'x' } }]],
    ['Basic', [{ scheme: 'basic', parameters: {} }]],
    [
      'Bearer realm="https://a/token",service="reg, istry",scope="repository:a/b:pull,push"',
      [
        {
          scheme: 'bearer',
          parameters: { realm: 'https://a/token', service: 'reg, istry', scope: 'repository:a/b:pull,push' },
        },
      ],
    ],
    [
      'Negotiate, Basic realm="a b", Bearer realm = "r" , service=s',
      [
        { scheme: 'negotiate', parameters: {} },
        { scheme: 'basic', parameters: { realm: 'a b' } },
        { scheme: 'bearer', parameters: { realm: 'r', service: 's' } },
      ],
    ],
    ['Bearer realm="a\\"b,c"', [{ scheme: 'bearer', parameters: { realm: 'a"b,c' } }]],
    ['BEARER Realm="R"', [{ scheme: 'bearer', parameters: { realm: 'R' } }]],
    ['Bearer error="insufficient_scope"', [{ scheme: 'bearer', parameters: { error: 'insufficient_scope' } }]],
    ['', []],
    [',,', []],
    ['realm="x"', []],
  ])('reads %s', (header, expected) => {
    expect(parseChallenges(header)).toEqual(expected)
  })
})
