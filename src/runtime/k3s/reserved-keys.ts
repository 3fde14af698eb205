/** What cloudimg decides alone (DEPLOY.md, "k3s rules: Config"); a trailing `*` stands for any ending. */
const reserved: readonly string[] = [
  'token*',
  'agent-token*',
  'server',
  'cluster-init',
  'datastore-*',
  'node-name',
  'node-ip',
  'data-dir',
  'docker',
  'advertise-address',
  'flannel-iface',
  'tls-san',
  'write-kubeconfig*',
]

export function isReservedKey(key: string): boolean {
  const bare = key.replace(/\+$/, '')
  return reserved.some(name => (name.endsWith('*') ? bare.startsWith(name.slice(0, -1)) : bare === name))
}

/** Their values would stand in Clusterfiles, plans and journals; k3s takes each from a place of its own too. */
const secrets: readonly string[] = ['etcd-s3-access-key', 'etcd-s3-secret-key', 'etcd-s3-session-token', 'vpn-auth']

export function isSecretKey(key: string): boolean {
  return secrets.includes(key.replace(/\+$/, ''))
}
