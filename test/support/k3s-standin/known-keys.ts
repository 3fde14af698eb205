import { atLeast } from './profile.ts'
import { version } from './version.ts'

/** Keys of config.yaml by role, with the first release that knows them. (facts/k3s.md §0, §6.2; DEPLOY.md "Versions") */
const both = [
  'config debug token token-file node-name with-node-id node-ip node-external-ip node-label node-taint data-dir',
  'kubelet-arg kube-proxy-arg flannel-iface private-registry pause-image docker container-runtime-endpoint snapshotter resolv-conf',
  'selinux lb-server-port protect-kernel-defaults rootless server log alsologtostderr v vmodule image-credential-provider-bin-dir',
  'image-credential-provider-config airgap-extra-registry',
]
const serverOnly = [
  'bind-address https-listen-port advertise-address advertise-port tls-san cluster-cidr service-cidr service-node-port-range',
  'cluster-dns cluster-domain flannel-backend agent-token agent-token-file write-kubeconfig write-kubeconfig-mode',
  'cluster-init cluster-reset cluster-reset-restore-path datastore-endpoint datastore-cafile datastore-certfile datastore-keyfile',
  'etcd-disable-snapshots etcd-expose-metrics etcd-snapshot-name etcd-snapshot-schedule-cron etcd-snapshot-retention etcd-snapshot-dir',
  'default-local-storage-path disable disable-scheduler disable-cloud-controller disable-kube-proxy disable-network-policy',
  'disable-apiserver disable-controller-manager disable-etcd disable-agent secrets-encryption system-default-registry',
  'kube-apiserver-arg kube-controller-manager-arg kube-scheduler-arg kube-cloud-controller-manager-arg etcd-arg no-deploy',
  'agent-token',
]
const laterBoth: Readonly<Record<string, string>> = {
  'prefer-bundled-bin': '1.24.0',
  'image-service-endpoint': '1.27.0',
  'disable-default-registry-endpoint': '1.26.13 1.27.10 1.28.6 1.29.1',
  'vpn-auth': '1.25.11 1.26.6 1.27.3',
  'vpn-auth-file': '1.25.11 1.26.6 1.27.3',
  'node-internal-dns': '1.31.0',
  'node-external-dns': '1.31.0',
}
const laterServer: Readonly<Record<string, string>> = {
  'embedded-registry': '1.26.13 1.27.10 1.28.6 1.29.1',
  'supervisor-metrics': '1.29.0',
  'write-kubeconfig-group': '1.30.0',
  'write-kubeconfig-name': '1.37.0',
  'helm-job-image': '1.27.0',
  'tls-san-security': '1.27.5 1.28.1',
  'disable-helm-controller': '1.22.0',
  'egress-selector-mode': '1.22.0',
  'etcd-snapshot-compress': '1.22.0',
  'flannel-ipv6-masq': '1.23.0',
  'flannel-external-ip': '1.24.0',
}

/** Flags without a value. */
export const flagKeys: ReadonlySet<string> = new Set(
  [
    'debug with-node-id docker selinux protect-kernel-defaults rootless cluster-init cluster-reset etcd-disable-snapshots',
    'etcd-expose-metrics disable-scheduler disable-cloud-controller disable-kube-proxy disable-network-policy disable-apiserver',
    'disable-controller-manager disable-etcd disable-agent secrets-encryption prefer-bundled-bin disable-default-registry-endpoint',
    'embedded-registry supervisor-metrics tls-san-security disable-helm-controller etcd-snapshot-compress flannel-ipv6-masq',
    'flannel-external-ip alsologtostderr',
  ].flatMap(split),
)

export const agentKeys: ReadonlySet<string> = new Set([...both.flatMap(split), ...released(laterBoth)])
export const serverKeys: ReadonlySet<string> = new Set([
  ...agentKeys,
  ...serverOnly.flatMap(split),
  ...released(laterServer),
])

/** What would change the cluster in a way that nobody simulates: refused, never ignored. */
export const unsupportedKeys: ReadonlySet<string> = new Set(
  [
    'data-dir with-node-id docker container-runtime-endpoint rootless datastore-cafile datastore-certfile datastore-keyfile',
    'disable-apiserver disable-controller-manager disable-scheduler disable-etcd disable-agent https-listen-port bind-address airgap-extra-registry',
    'system-default-registry write-kubeconfig secrets-encryption',
  ].flatMap(split),
)

function split(words: string): readonly string[] {
  return words.split(' ')
}

function released(gates: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(gates)
    .filter(([, gate]) => atLeast(gate, version))
    .map(([name]) => name)
}
