/** `v1.31.4+k3s1` as numbers; what does not look like one sorts first. */
function numbersOf(version: string): readonly number[] {
  const [, ...parts] = /^v(\d+)\.(\d+)\.(\d+)(?:-rc\d+)?(?:\+k3s(\d+))?/.exec(version) ?? []
  return parts.map(part => Number(part ?? 0))
}

/** Negative where `a` is older. The number behind `+k3s` counts, which semver ignores (facts/k3s.md §2.3). */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [numbersOf(a), numbersOf(b)]
  const at = left.findIndex((value, index) => value !== (right[index] ?? 0))
  return at < 0 ? 0 : left[at]! - (right[at] ?? 0)
}

export function minorOf(version: string): number {
  return numbersOf(version)[1] ?? 0
}
