/** Where a Clusterfile says what a reserved key of k3s would say; a hint. */
const instead: Readonly<Record<string, string>> = {
  'node-ip': 'write nodeIP with the host',
  'tls-san': 'write tlsSans: [NAME]',
  'datastore-endpoint': 'write datastoreEndpointFile: FILE',
  'flannel-iface': 'write nodeIP with the host: its interface is taken',
  'advertise-address': 'write nodeIP with the host',
  server: 'cloudimg names the server; an address before all of them is written as endpoint',
}

export function explainKey(key: string): string {
  const bare = key.replace(/\+$/, '')
  return instead[bare] ?? `remove "${key}"`
}
