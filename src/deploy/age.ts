/** Roughly, as people say it: `3 h`. */
export function formatAge(seconds: number): string {
  const minutes = Math.max(0, Math.round(seconds / 60))
  if (minutes < 1) return 'less than a minute'
  if (minutes < 120) return `${minutes} min`
  const hours = Math.round(minutes / 60)
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} days`
}
