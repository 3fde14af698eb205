import { CloudimgError } from '../../core/error.ts'

const units: Readonly<Record<string, string>> = { m: 'minutes', h: 'hours', d: 'days' }

/** `30m`, `24h`, `7d`, `2026-11-26`, `2026-11-26 08:00`, as journalctl reads times. @throws USAGE */
export function parseSince(text: string): string {
  const [, count, unit] = /^(\d{1,5})([mhd])$/.exec(text) ?? []
  if (count !== undefined && unit !== undefined) return `${count} ${units[unit]} ago`
  const day = /^\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}(?::\d{2})?)?$/
  if (day.test(text) && !Number.isNaN(Date.parse(text.replace(' ', 'T')))) return text.replace('T', ' ')
  throw new CloudimgError('USAGE', `reading --since "${text}": it is no time`, {
    hint: 'write 30m, 24h or 7d, or a day with or without a time: "2026-11-26 08:00"',
  })
}
