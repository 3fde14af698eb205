import type { Finding } from '../runtime/finding.ts'

/** Findings about what a machine is, which its owner may know better. What would harm data or another cluster is none of them. */
export const ignorableFindings: readonly string[] = [
  'apparmor',
  'cgroup-v1',
  'cgroups',
  'clock',
  'data-fs',
  'disk',
  'inodes',
  'nm-cloud-setup',
  'noexec',
  'ports',
]

/** An error that shall not refuse, as a warning that says so. */
export function asIgnored(finding: Finding, ignored: readonly string[]): Finding {
  const applies = finding.severity === 'error' && ignored.includes(finding.id) && ignorableFindings.includes(finding.id)
  return applies ? { ...finding, severity: 'warning', message: `${finding.message} (ignored, as asked)` } : finding
}
