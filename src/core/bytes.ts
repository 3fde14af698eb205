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

/** `4096`, `64k`, `512m`, `1g`, each with or without a `b`; undefined for what is no size. */
export function parseSize(text: string): number | undefined {
  const [, digits = '', unit = ''] = /^(\d{1,15})([kmg]?)b?$/i.exec(text) ?? []
  if (digits === '') return undefined
  return Number(digits) * 1024 ** ['', 'k', 'm', 'g'].indexOf(unit.toLowerCase())
}
