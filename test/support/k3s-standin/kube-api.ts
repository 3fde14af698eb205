import { randomUUID } from 'node:crypto'
import { ApiError, notFound } from './api-error.ts'
import { mergePatch } from './merge.ts'
import { allResources, apiVersionOf, type Resource } from './resources.ts'
import { matchesFields, matchesLabels } from './selector.ts'
import { Conflict, type Key, type KubeObject, type Store } from './store.ts'
import { version } from './version.ts'

export interface ApiRequest {
  readonly method: string
  readonly url: URL
  readonly contentType: string
  /** Parsed JSON; undefined where there is none. */
  readonly body: unknown
}

interface Target {
  readonly resource: Resource
  readonly namespace: string | undefined
  readonly name: string | undefined
  readonly isStatus: boolean
}

/** The Kubernetes API over a store, as far as kubectl's verbs of this stand-in and its agents need it. */
export class KubeApi {
  private readonly store: Store
  constructor(store: Store) {
    this.store = store
  }

  /** @throws ApiError */
  async answer(request: ApiRequest): Promise<object | string> {
    const path = request.url.pathname
    if (/^\/(?:readyz|livez|healthz)$/.test(path)) return 'ok'
    if (path === '/version') return versionInfo()
    const resources = await this.resources()
    if (path === '/standin/resources') return resources
    const target = parseTarget(path, resources)
    return await this.onTarget(request, target)
  }

  async resources(): Promise<readonly Resource[]> {
    return allResources(await this.store.list('registry/apiextensions.k8s.io/customresourcedefinitions/'))
  }

  private async onTarget(request: ApiRequest, target: Target): Promise<object> {
    const { method } = request
    if (target.name === undefined) {
      if (method === 'GET') return await this.list(request.url.searchParams, target)
      if (method === 'POST') return await this.create(target, request.body as KubeObject)
    } else {
      const named = { ...target, name: target.name }
      if (method === 'GET') return await this.mustGet(named)
      if (method === 'PUT') return await this.update(named, () => request.body as KubeObject)
      if (method === 'PATCH') return await this.patch(named, request)
      if (method === 'DELETE') return await this.remove(named)
    }
    throw new ApiError(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource')
  }

  private async list(query: URLSearchParams, target: Target): Promise<object> {
    const prefix = `registry/${target.resource.group}/${target.resource.name}/`
    const all = await this.store.list(target.namespace === undefined ? prefix : `${prefix}${target.namespace}/`)
    const items = all.filter(
      object =>
        matchesLabels(query.get('labelSelector') ?? '', object.metadata.labels ?? {}) &&
        matchesFields(query.get('fieldSelector') ?? '', object),
    )
    return { kind: `${target.resource.kind}List`, apiVersion: apiVersionOf(target.resource), metadata: {}, items }
  }

  private async create(target: Target, body: KubeObject): Promise<KubeObject> {
    const { resource, namespace } = target
    const name = body.metadata.name
    if (namespace !== undefined && namespace !== '' && (await this.store.get(namespaceKey(namespace))) === undefined)
      throw notFound('namespaces', namespace)
    const object: KubeObject = {
      ...body,
      apiVersion: apiVersionOf(resource),
      kind: resource.kind,
      metadata: {
        ...body.metadata,
        ...(resource.namespaced ? { namespace: namespace ?? 'default' } : {}),
        uid: randomUUID(),
        creationTimestamp: new Date().toISOString().replace(/\.\d+Z$/, 'Z'),
      },
    }
    try {
      return await this.store.put(keyOf({ ...target, name }), object, { expect: 'absent' })
    } catch (error) {
      if (!(error instanceof Conflict)) throw error
      throw new ApiError(409, 'AlreadyExists', `${qualified(resource)} "${name}" already exists`)
    }
  }

  private async mustGet(target: Target & { readonly name: string }): Promise<KubeObject> {
    const object = await this.store.get(keyOf(target))
    if (object === undefined) throw notFound(qualified(target.resource), target.name)
    return object
  }

  private async patch(target: Target & { readonly name: string }, request: ApiRequest): Promise<KubeObject> {
    const isApply = request.contentType.startsWith('application/apply-patch')
    if (isApply && (await this.store.get(keyOf(target))) === undefined) {
      if (target.isStatus) throw notFound(qualified(target.resource), target.name)
      return await this.create(target, request.body as KubeObject)
    }
    return await this.update(target, present => mergePatch(present, request.body) as KubeObject)
  }

  /** Reads, changes and writes until nobody came between. */
  private async update(
    target: Target & { readonly name: string },
    change: (present: KubeObject) => KubeObject,
  ): Promise<KubeObject> {
    for (;;) {
      const present = await this.mustGet(target)
      const wanted = change(present)
      const { uid, creationTimestamp, resourceVersion, name, namespace } = present.metadata
      const identity = Object.fromEntries(
        Object.entries({ uid, creationTimestamp, resourceVersion, name, namespace }).filter(([, v]) => v !== undefined),
      )
      const next = {
        ...wanted,
        apiVersion: present.apiVersion,
        kind: present.kind,
        metadata: { ...wanted.metadata, ...identity, name },
      }
      if (JSON.stringify(next) === JSON.stringify(present)) return present
      try {
        const volatile = target.resource.name === 'leases'
        return await this.store.put(keyOf(target), next, { expect: resourceVersion ?? 'absent', volatile })
      } catch (error) {
        if (!(error instanceof Conflict)) throw error
      }
    }
  }

  private async remove(target: Target & { readonly name: string }): Promise<KubeObject> {
    const object = await this.store.get(keyOf(target))
    if (object === undefined) throw notFound(qualified(target.resource), target.name)
    if (target.resource.name === 'nodes') await this.forgetNode(target.name)
    await this.store.delete(keyOf(target))
    return object
  }

  /** With a node go its password, its lease and its pods. (facts/k3s.md §7.2) */
  private async forgetNode(name: string): Promise<void> {
    await this.store.delete(`registry//secrets/kube-system/${name}.node-password.k3s`)
    await this.store.delete(`registry/coordination.k8s.io/leases/kube-node-lease/${name}`)
    for (const pod of await this.store.list('registry//pods/')) {
      if ((pod['spec'] as { nodeName?: string }).nodeName === name)
        await this.store.delete(`registry//pods/${pod.metadata.namespace}/${pod.metadata.name}`)
    }
  }
}

function keyOf({ resource, namespace, name }: Target & { readonly name: string }): Key {
  return `registry/${resource.group}/${resource.name}/${resource.namespaced ? (namespace ?? 'default') : '-'}/${name}`
}

export function namespaceKey(name: string): Key {
  return `registry//namespaces/-/${name}`
}

function qualified({ name, group }: Resource): string {
  return group === '' ? name : `${name}.${group}`
}

function parseTarget(path: string, resources: readonly Resource[]): Target {
  const match =
    /^\/(?:api|apis\/([^/]+))\/([^/]+)(?:\/namespaces\/([^/]+)(?=\/[^/]))?\/([^/]+)(?:\/([^/]+))?(?:\/(status))?$/.exec(
      path,
    )
  const [, group = '', apiVersion, namespace, plural, name, status] = match ?? []
  const resource = resources.find(
    known => known.group === group && known.version === apiVersion && known.name === plural,
  )
  if (resource === undefined) throw new ApiError(404, 'NotFound', 'the server could not find the requested resource')
  return { resource, namespace, name, isStatus: status !== undefined }
}

function versionInfo(): object {
  const minor = /^v1\.(\d+)/.exec(version)?.[1] ?? ''
  return { major: '1', minor, gitVersion: version, goVersion: 'go1.22.9 stand-in', platform: `linux/${process.arch}` }
}
