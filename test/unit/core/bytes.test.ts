import { describe, expect, it } from 'vitest'
import { parseBytes } from '../../../src/core/bytes.ts'

describe('a size', () => {
  it.each([
    ['1000', 1000],
    ['0', 0],
    ['4G', 4 * 1024 ** 3],
    ['4g', 4 * 1024 ** 3],
    ['4GiB', 4 * 1024 ** 3],
    ['4GB', 4e9],
    ['700M', 700 * 1024 ** 2],
    ['2K', 2048],
    ['1TB', 1e12],
    [' 1M ', 1024 ** 2],
    ['', undefined],
    ['G', undefined],
    ['1.5G', undefined],
    ['-1', undefined],
    ['4GG', undefined],
    ['4 G', undefined],
    ['10B', undefined],
    ['9999999T', undefined],
  ])('%j is %j', (text, bytes) => {
    expect(parseBytes(text)).toBe(bytes)
  })
})
