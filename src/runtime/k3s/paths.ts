import type { Role } from '../runtime.ts'

export const k3sPaths = {
  program: '/usr/local/bin/k3s',
  config: '/etc/rancher/k3s/config.yaml',
  kubeconfig: '/etc/rancher/k3s/k3s.yaml',
  images: '/var/lib/rancher/k3s/agent/images',
  server: '/var/lib/rancher/k3s/server',
  database: '/var/lib/rancher/k3s/server/db',
  /** The server token in its long form. */
  token: '/var/lib/rancher/k3s/server/token',
  state: '/var/lib/cloudimg',
  /** Where a config with its token waits for the installer: memory only, root only, gone at the next boot. */
  pendingConfig: '/run/cloudimg-deploy/config.yaml',
} as const

export function unitOf(role: Role): 'k3s' | 'k3s-agent' {
  return role === 'server' ? 'k3s' : 'k3s-agent'
}
