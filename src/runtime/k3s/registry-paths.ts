const directory = '/etc/rancher/k3s/registry'
const data = '/var/lib/cloudimg/registry'

/** Below /etc/rancher/k3s, which goes when k3s is uninstalled; the installer knows the same names. */
export const registryPaths = {
  registries: '/etc/rancher/k3s/registries.yaml',
  /** Beside the pending configuration: it may hold a password. */
  pending: '/run/cloudimg-deploy/registries.yaml',
  authority: `${directory}/ca.crt`,
  clientCertificate: `${directory}/client.crt`,
  clientKey: `${directory}/client.key`,
  /** Only on servers. */
  seed: `${directory}/seed`,
  serverCertificate: `${directory}/server.crt`,
  serverKey: `${directory}/server.key`,
  config: `${directory}/config.yml`,
  data,
  /** What the running registry was started from. */
  applied: `${data}.applied`,
  program: '/usr/local/bin/registry',
  unit: 'cloudimg-registry.service',
} as const

/** Where the registry of each server listens, with TLS. */
export const registryPort = 5443
/** Where nodes of an embedded registry look for each other (facts/k3s.md §5.3). */
export const peerPort = 5001
