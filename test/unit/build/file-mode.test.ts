import { describe, expect, it } from 'vitest'
import { applyFileMode, formatFileMode, parseFileMode } from '../../../src/build/file-mode.ts'

describe('what --chmod makes of a mode', () => {
  // Held against GNU chmod 9.1.
  it.each<[text: string, current: number, ofFile: number, ofDirectory: number]>([
    ['0755', 0o4600, 0o755, 0o755],
    ['4755', 0o600, 0o4755, 0o4755],
    ['7', 0o600, 0o007, 0o007],
    ['u=rwX,go=rX', 0o600, 0o644, 0o755],
    ['u=rwX,go=rX', 0o711, 0o755, 0o755],
    ['a+x', 0o644, 0o755, 0o755],
    ['+w', 0o444, 0o666, 0o666],
    ['go-rwx', 0o777, 0o700, 0o700],
    ['u=rw,g=u,o=g', 0o004, 0o666, 0o666],
    ['go=u-w', 0o755, 0o755, 0o755],
    ['u+s,g+s', 0o755, 0o6755, 0o6755],
    ['+t', 0o755, 0o1755, 0o1755],
    ['o=t', 0o777, 0o1770, 0o1770],
    ['-t', 0o1777, 0o777, 0o777],
    ['a=', 0o4777, 0, 0o4000],
    ['a=rX', 0o644, 0o444, 0o555],
    ['a=rX', 0o744, 0o555, 0o555],
    ['u-s', 0o6755, 0o2755, 0o2755],
  ])('%s of %o', (text, current, ofFile, ofDirectory) => {
    const mode = parseFileMode(text)!
    expect([applyFileMode(mode, current, false), applyFileMode(mode, current, true)]).toEqual([ofFile, ofDirectory])
  })

  it.each(['', '8', '10000', '0o755', 'rwx', 'u', 'u=q', 'u=rw,', 'u rw', 'z+x'])('"%s" is no mode', text => {
    expect(parseFileMode(text)).toBeUndefined()
  })

  it('is shown as it was meant', () => {
    expect(['755', 'u=rwX'].map(text => formatFileMode(parseFileMode(text)!))).toEqual(['0755', 'u=rwX'])
  })
})
