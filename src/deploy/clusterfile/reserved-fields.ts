/** Where a Clusterfile says what a reserved key of k3s would say; a hint. */
const instead: Readonly<Record<string, string>> = {
  'node-ip': 'write nodeIP with the host',
  'tls-san': 'write tlsSans: [NAME]',
  'datastore-endpoint': 'write datastoreEndpointFile: FILE',
  'flannel-iface': 'write nodeIP with the host: its interface is taken',
  'advertise-address': 'write nodeIP with the host',
  'vpn-auth': 'put it into a file on the hosts, and write vpn-auth-file',
  'etcd-s3-access-key': 'put it into a Secret, and write etcd-s3-config-secret',
  'etcd-s3-secret-key': 'put it into a Secret, and write etcd-s3-config-secret',
  'etcd-s3-session-token': 'put it into a Secret, and write etcd-s3-config-secret',
  server: 'cloudimg names the server; an address before all of them is written as endpoint',
}

export function explainKey(key: string): string {
  const bare = key.replace(/\+$/, '')
  return instead[bare] ?? `remove "${key}"`
}
