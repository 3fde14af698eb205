import { execFileSync } from 'node:child_process'
import { array, assert, constantFrom, oneof, property, string } from 'fast-check'
import { describe, expect, it } from 'vitest'
import { quoteArgv } from '../../../src/host/quote.ts'

/** One shell for many command lines: starting it is the slow part. */
function throughShell(argvs: readonly (readonly string[])[]): readonly string[] {
  const script = argvs.map(argv => `printf '%s\\0' ${quoteArgv(argv)}`).join('\n')
  return execFileSync('sh', ['-c', script], { encoding: 'utf8' }).split('\0').slice(0, -1)
}

describe('quoteArgv', () => {
  it.each([
    [['ls', '-l', '/var/lib'], 'ls -l /var/lib'],
    [['echo', ''], "echo ''"],
    [['a=b'], "'a=b'"],
    [['echo', "it's"], `echo 'it'\\''s'`],
    [['echo', '~root', '$HOME', '*'], "echo '~root' '$HOME' '*'"],
  ])('%j becomes %s', (argv, line) => expect(quoteArgv(argv)).toBe(line))

  it('refuses what no argv can carry', () => expect(() => quoteArgv(['a\0b'])).toThrow(/NUL/))

  it('comes back from a real shell as it was', () => {
    const word = oneof(
      string({ unit: 'binary' }),
      string({ unit: constantFrom("'", '"', '\\', '$', '`', '\n', '!', ' ', 'a', '*', '~', ';') }),
    )
    const words = array(
      word.filter(text => text.isWellFormed() && !text.includes('\0')),
      { minLength: 1, maxLength: 20 },
    )
    const isSame = (argvs: readonly (readonly string[])[]): void => {
      expect(throughShell(argvs)).toEqual(argvs.flat())
    }
    assert(property(array(words, { minLength: 20, maxLength: 40 }), isSame), { numRuns: 5 })
  })
})
