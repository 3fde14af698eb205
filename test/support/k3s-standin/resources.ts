import type { KubeObject } from './store.ts'

export interface Resource {
  /** Empty for the core group. */
  readonly group: string
  readonly version: string
  readonly kind: string
  /** Plural, as in URLs. */
  readonly name: string
  readonly namespaced: boolean
  readonly shortNames: readonly string[]
}

/** group/version: then Kind[:short,…], `!` for what has no namespace. */
const table: Readonly<Record<string, string>> = {
  v1: 'Node:no! Namespace:ns! PersistentVolume:pv! Pod:po Service:svc ConfigMap:cm Secret ServiceAccount:sa Endpoints:ep Event:ev PersistentVolumeClaim:pvc ReplicationController:rc LimitRange ResourceQuota',
  'apps/v1': 'Deployment:deploy DaemonSet:ds StatefulSet:sts ReplicaSet:rs',
  'batch/v1': 'Job CronJob:cj',
  'coordination.k8s.io/v1': 'Lease',
  'networking.k8s.io/v1': 'Ingress:ing NetworkPolicy:netpol IngressClass!',
  'policy/v1': 'PodDisruptionBudget:pdb',
  'rbac.authorization.k8s.io/v1': 'Role RoleBinding ClusterRole! ClusterRoleBinding!',
  'storage.k8s.io/v1': 'StorageClass:sc! CSIDriver! VolumeAttachment!',
  'scheduling.k8s.io/v1': 'PriorityClass:pc!',
  'node.k8s.io/v1': 'RuntimeClass!',
  'apiextensions.k8s.io/v1': 'CustomResourceDefinition:crd!',
  'apiregistration.k8s.io/v1': 'APIService!',
  'admissionregistration.k8s.io/v1': 'ValidatingWebhookConfiguration! MutatingWebhookConfiguration!',
  'helm.cattle.io/v1': 'HelmChart HelmChartConfig',
  'k3s.cattle.io/v1': 'Addon',
}

const builtIn: readonly Resource[] = Object.entries(table).flatMap(([apiVersion, kinds]) =>
  kinds.split(' ').map(word => {
    const [kind = '', short] = word.replace('!', '').split(':')
    return {
      ...splitApiVersion(apiVersion),
      kind,
      name: pluralOf(kind),
      namespaced: !word.endsWith('!'),
      shortNames: short === undefined ? [] : [short],
    }
  }),
)

/** With the kinds that CustomResourceDefinitions add. */
export function allResources(definitions: readonly KubeObject[]): readonly Resource[] {
  return [...builtIn, ...definitions.flatMap(fromDefinition)]
}

interface DefinitionSpec {
  readonly group: string
  readonly scope: string
  readonly names: { readonly kind: string; readonly plural: string; readonly shortNames?: readonly string[] }
  readonly versions: readonly { readonly name: string }[]
}

function fromDefinition(definition: KubeObject): readonly Resource[] {
  const spec = definition['spec'] as DefinitionSpec
  return spec.versions.map(version => ({
    group: spec.group,
    version: version.name,
    kind: spec.names.kind,
    name: spec.names.plural,
    namespaced: spec.scope === 'Namespaced',
    shortNames: spec.names.shortNames ?? [],
  }))
}

export function splitApiVersion(apiVersion: string): { readonly group: string; readonly version: string } {
  const [group = '', version] = apiVersion.split('/')
  return version === undefined ? { group: '', version: group } : { group, version }
}

export function apiVersionOf({ group, version }: Resource): string {
  return group === '' ? version : `${group}/${version}`
}

/** As people and the API name it: `node`, `nodes`, `no`, `deployments.apps`, `Deployment`. */
export function findResource(resources: readonly Resource[], word: string): Resource | undefined {
  const [name = '', ...group] = word.toLowerCase().split('.')
  return resources.find(
    resource =>
      [resource.name, resource.kind.toLowerCase(), ...resource.shortNames].includes(name) &&
      (group.length === 0 || resource.group === group.join('.')),
  )
}

export function urlOf(resource: Resource, namespace: string | undefined, name?: string): string {
  const root = resource.group === '' ? `/api/${resource.version}` : `/apis/${resource.group}/${resource.version}`
  const scope = resource.namespaced && namespace !== undefined ? `/namespaces/${namespace}` : ''
  return `${root}${scope}/${resource.name}${name === undefined ? '' : `/${name}`}`
}

function pluralOf(kind: string): string {
  const word = kind.toLowerCase()
  if (word.endsWith('endpoints')) return word
  if (/(?:s|ss|x)$/.test(word)) return `${word}es`
  return word.endsWith('y') ? `${word.slice(0, -1)}ies` : `${word}s`
}
