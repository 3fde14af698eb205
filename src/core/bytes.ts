export const KiB = 1024
export const MiB = 1024 * KiB
export const GiB = 1024 * MiB

/** `1.5 MiB`, for people. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1]
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}

const units: Readonly<Record<string, number>> = { k: 10, m: 20, g: 30, t: 40 }

/** `4G`, `700MiB`, `4GB`, `1000`: as split(1) reads sizes, powers of 1024 unless `B` alone follows. Undefined for anything else. */
export function parseBytes(text: string): number | undefined {
  const [, digits, unit = '', suffix = ''] = /^(\d{1,15})([kmgt]?)(ib|b)?$/i.exec(text.trim()) ?? []
  if (digits === undefined || (unit === '' && suffix !== '')) return undefined
  const power = unit === '' ? 0 : units[unit.toLowerCase()]!
  const bytes = Number(digits) * (suffix.toLowerCase() === 'b' ? 1000 ** (power / 10) : 2 ** power)
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

/** `4096`, `64k`, `512m`, `1g`: as docker reads the size of a mount, where a `b` behind changes nothing. Undefined for what is no size. */
export function parseSize(text: string): number | undefined {
  const [, digits = '', unit = ''] = /^(\d{1,15})([kmg]?)b?$/i.exec(text) ?? []
  if (digits === '') return undefined
  return Number(digits) * 1024 ** ['', 'k', 'm', 'g'].indexOf(unit.toLowerCase())
}
