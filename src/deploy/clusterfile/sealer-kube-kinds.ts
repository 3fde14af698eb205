import type { Draft } from './read-sealer.ts'
import type { SealerField } from './sealer-field.ts'

/** Fields of the kubelet's own configuration, and its flags of the same meaning (k3s takes flags as `kubelet-arg`). */
const kubeletFlags: Readonly<Record<string, string>> = {
  maxPods: 'max-pods',
  podsPerCore: 'pods-per-core',
  podPidsLimit: 'pod-max-pids',
  containerLogMaxSize: 'container-log-max-size',
  containerLogMaxFiles: 'container-log-max-files',
  imageGCHighThresholdPercent: 'image-gc-high-threshold',
  imageGCLowThresholdPercent: 'image-gc-low-threshold',
  serializeImagePulls: 'serialize-image-pulls',
  registryPullQPS: 'registry-qps',
  registryBurst: 'registry-burst',
  eventRecordQPS: 'event-qps',
  resolvConf: 'resolv-conf',
  cpuManagerPolicy: 'cpu-manager-policy',
  topologyManagerPolicy: 'topology-manager-policy',
}

/** kubeadm's kinds, which a Clusterfile of sealer may hold beside the Cluster. False for a kind that is none of them. */
export function convertKubeKind(kind: string, document: SealerField, draft: Draft): boolean {
  switch (kind) {
    case 'ClusterConfiguration':
      convertClusterConfiguration(document, draft)
      return true
    case 'KubeletConfiguration':
      for (const [field, flag] of Object.entries(kubeletFlags)) {
        const text = document.take(field)?.text()
        if (text !== undefined) addArgument(draft, ['server', 'agent'], 'kubelet-arg', `${flag}=${text}`)
      }
      document.rest()
      return true
    case 'KubeProxyConfiguration': {
      const mode = document.take('mode')?.text()
      if (mode !== undefined && mode !== '')
        addArgument(draft, ['server', 'agent'], 'kube-proxy-arg', `proxy-mode=${mode}`)
      document.rest()
      return true
    }
    default:
      return false
  }
}

function convertClusterConfiguration(document: SealerField, draft: Draft): void {
  const { server } = draft.config
  const networking = document.take('networking')
  for (const [field, key] of [
    ['podSubnet', 'cluster-cidr'],
    ['serviceSubnet', 'service-cidr'],
    ['dnsDomain', 'cluster-domain'],
  ] as const) {
    const found = networking?.take(field)?.becomes(['spec', 'config', 'server', key])
    if (found !== undefined) server[key] = found.value
  }
  networking?.rest()
  const apiServer = document.take('apiServer')
  draft.tlsSans.push(...(apiServer?.take('certSANs')?.texts() ?? []))
  extraArguments(apiServer, 'kube-apiserver-arg', draft)
  extraArguments(document.take('controllerManager'), 'kube-controller-manager-arg', draft)
  extraArguments(document.take('scheduler'), 'kube-scheduler-arg', draft)
  const endpoint = document.take('controlPlaneEndpoint')
  const name = endpoint?.text()?.replace(/:6443$/, '')
  if (name?.includes(':') === true)
    endpoint?.note(`"${name}": k3s serves its API at port 6443; the endpoint is left out`)
  else if (name !== undefined) draft.spec.endpoint = name
  document.take('kubernetesVersion')?.note('the version is that of the image, "kubernetesVersion" is left out')
  document.rest()
}

/** A map of flags, or since v1beta4 a list of `{name, value}`. */
function extraArguments(component: SealerField | undefined, key: string, draft: Draft): void {
  const flags = component?.take('extraArgs')
  for (const [name, value] of flags?.entries() ?? [])
    addArgument(draft, ['server'], key, `${name}=${value.text() ?? ''}`)
  for (const item of flags?.items() ?? [])
    addArgument(draft, ['server'], key, `${item.take('name')?.text() ?? ''}=${item.take('value')?.text() ?? ''}`)
  component?.rest()
}

function addArgument(draft: Draft, roles: readonly ('server' | 'agent')[], key: string, argument: string): void {
  for (const role of roles)
    draft.config[role][key] = [...((draft.config[role][key] as string[] | undefined) ?? []), argument]
}
