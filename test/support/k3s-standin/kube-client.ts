import { ApiError } from './api-error.ts'
import { findResource, splitApiVersion, urlOf, type Resource } from './resources.ts'
import type { KubeObject } from './store.ts'
import { type Answer, type Call, callTls, type Trust } from './tls-client.ts'

/** The Kubernetes API as its clients see it. */
export class KubeClient {
  private servers: readonly string[]
  private readonly trust: Trust
  private known: readonly Resource[] | undefined
  constructor(server: string, trust: Trust) {
    this.servers = [server]
    this.trust = trust
  }

  /** Others that may be asked where the one that is asked now does not answer. */
  learnServers(servers: readonly string[]): void {
    const [current] = this.servers
    this.servers = [...new Set([...(current === undefined ? [] : [current]), ...servers])]
  }

  /** @throws ApiError for a refusal; an Error with `code` where nobody answers. */
  async raw(path: string, method = 'GET', body?: unknown, contentType = 'application/json'): Promise<string> {
    const call = { method, body, headers: { 'content-type': contentType } }
    const { status, text } = await this.callAny(path, call)
    if (status >= 200 && status < 300) return text
    throw errorOf(status, text)
  }

  private async callAny(path: string, call: Call): Promise<Answer> {
    const [first = '', ...others] = this.servers
    try {
      return await callTls(`${first}${path}`, this.trust, call)
    } catch (error) {
      this.servers = [...others, first]
      throw error
    }
  }

  async get(path: string): Promise<KubeObject> {
    return JSON.parse(await this.raw(path)) as KubeObject
  }

  async getIfPresent(path: string): Promise<KubeObject | undefined> {
    try {
      return await this.get(path)
    } catch (error) {
      if (error instanceof ApiError && error.reason === 'NotFound') return undefined
      throw error
    }
  }

  async list(path: string): Promise<readonly KubeObject[]> {
    return (JSON.parse(await this.raw(path)) as { readonly items: readonly KubeObject[] }).items
  }

  async create(path: string, object: unknown): Promise<KubeObject> {
    return JSON.parse(await this.raw(path, 'POST', object)) as KubeObject
  }

  async patch(path: string, patch: unknown, kind: 'merge' | 'apply' = 'merge'): Promise<KubeObject> {
    const contentType = kind === 'merge' ? 'application/merge-patch+json' : 'application/apply-patch+yaml'
    return JSON.parse(await this.raw(path, 'PATCH', patch, contentType)) as KubeObject
  }

  async delete(path: string): Promise<void> {
    await this.raw(path, 'DELETE')
  }

  /** What the server serves, custom resources included. */
  async resources(): Promise<readonly Resource[]> {
    this.known ??= JSON.parse(await this.raw('/standin/resources')) as readonly Resource[]
    return this.known
  }

  forgetResources(): void {
    this.known = undefined
  }

  async resourceNamed(word: string): Promise<Resource | undefined> {
    return findResource(await this.resources(), word)
  }

  /** The URL of an object given as it stands in a manifest; undefined for a kind nobody serves. */
  async urlOfObject(object: KubeObject): Promise<{ readonly resource: Resource; readonly url: string } | undefined> {
    const { group, version } = splitApiVersion(object.apiVersion)
    const resource = (await this.resources()).find(
      known => known.group === group && known.version === version && known.kind === object.kind,
    )
    if (resource === undefined) return undefined
    const namespace = resource.namespaced ? (object.metadata.namespace ?? 'default') : undefined
    return { resource, url: urlOf(resource, namespace) }
  }
}

function errorOf(status: number, text: string): ApiError {
  try {
    const { reason, message } = JSON.parse(text) as { readonly reason: string; readonly message: string }
    return new ApiError(status, reason, message)
  } catch {
    return new ApiError(status, 'Unknown', text)
  }
}
