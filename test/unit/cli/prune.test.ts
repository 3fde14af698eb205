import { describe, expect, it } from 'vitest'
import { parseFilters } from '../../../src/cli/commands/prune.ts'

const now = new Date('2026-06-15T12:00:00Z')

describe('--filter until=', () => {
  it.each([
    ['24h', '2026-06-14T12:00:00.000Z'],
    ['1h30m', '2026-06-15T10:30:00.000Z'],
    ['0.5h', '2026-06-15T11:30:00.000Z'],
    ['7d', '2026-06-08T12:00:00.000Z'],
    ['90s', '2026-06-15T11:58:30.000Z'],
    ['500ms', '2026-06-15T11:59:59.500Z'],
    ['2026-01-31', '2026-01-31T00:00:00.000Z'],
    ['2026-01-31T10:00:00+02:00', '2026-01-31T08:00:00.000Z'],
    ['1700000000', '2023-11-14T22:13:20.000Z'],
  ])('%s is %s', (text, time) => {
    expect(parseFilters([`until=${text}`], now)?.toISOString()).toBe(time)
  })

  it('takes the earliest of several, and nothing where there is none', () => {
    expect(parseFilters(['until=1h', 'until=2h'], now)?.toISOString()).toBe('2026-06-15T10:00:00.000Z')
    expect(parseFilters([], now)).toBeUndefined()
  })

  it.each(['until', 'until=', 'until=soon', 'until=1w', 'until=2026-99-99', 'until=-1h', 'label=a', '24h'])(
    'refuses %s',
    filter => {
      expect(() => parseFilters([filter], now)).toThrow(expect.objectContaining({ code: 'USAGE' }))
    },
  )
})
