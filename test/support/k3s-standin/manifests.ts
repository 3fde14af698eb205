import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { writeWhole } from './files.ts'
import type { KubeApi } from './kube-api.ts'
import { log, reasonOf } from './log.ts'
import { manifestsDir } from './paths.ts'
import { splitApiVersion, urlOf } from './resources.ts'
import type { KubeObject } from './store.ts'
import { systemImages } from './system-images.ts'
import { version } from './version.ts'
import { atLeast } from './profile.ts'

const applied = new Map<string, string>()

/** Applies what is new or changed in server/manifests; an error is a log line and tried again. (facts/k3s.md §8) */
export async function applyManifests(api: KubeApi): Promise<void> {
  for (const path of manifestFiles(manifestsDir)) {
    const text = readFileSync(path, 'utf8')
    const digest = createHash('sha256').update(text).digest('hex')
    if (applied.get(path) === digest || isIgnored(path)) continue
    try {
      for (const object of parseManifest(text)) await applyObject(api, object)
      applied.set(path, digest)
      log('info', `Applied manifest at ${JSON.stringify(path)}`)
    } catch (error) {
      log('error', `Failed to process config: failed to process ${path}: ${reasonOf(error)}`)
    }
  }
}

/** All objects of a manifest, lists taken apart. @throws where it is no YAML. */
export function parseManifest(text: string): readonly KubeObject[] {
  return parseAllDocuments(text).flatMap(document => {
    const [problem] = document.errors
    if (problem !== undefined) throw new Error(`error converting YAML to JSON: ${problem.message}`)
    const object = document.toJS() as (KubeObject & { readonly items?: readonly KubeObject[] }) | null
    if (object === null) return []
    return object.kind === 'List' ? [...(object.items ?? [])] : [object]
  })
}

async function applyObject(api: KubeApi, object: KubeObject): Promise<void> {
  const { group, version: apiVersion } = splitApiVersion(object.apiVersion)
  const resource = (await api.resources()).find(
    known => known.group === group && known.version === apiVersion && known.kind === object.kind,
  )
  if (resource === undefined) throw new Error(`no matches for kind "${object.kind}" in version "${object.apiVersion}"`)
  const namespace = resource.namespaced ? (object.metadata.namespace ?? 'default') : undefined
  const url = new URL(urlOf(resource, namespace, object.metadata.name), 'https://server')
  await api.answer({ method: 'PATCH', url, contentType: 'application/apply-patch+yaml', body: object })
}

function manifestFiles(directory: string): readonly string[] {
  if (!existsSync(directory)) return []
  return readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter(entry => entry.isFile() && /\.(?:ya?ml|json)$/.test(entry.name))
    .map(entry => join(entry.parentPath, entry.name))
    .toSorted()
}

/** Names that cannot become an Addon's, files with a companion `.skip`, epoch mtimes before v1.37.1. */
function isIgnored(path: string): boolean {
  const isNamed = /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(basename(path))
  return !isNamed || existsSync(`${path}.skip`) || (statSync(path).mtimeMs === 0 && !atLeast('1.37.1', version))
}

const packaged: Readonly<Record<string, { readonly name: string; readonly image: RegExp; readonly app: string }>> = {
  'coredns.yaml': { name: 'coredns', image: /coredns/, app: 'kube-dns' },
  'local-storage.yaml': { name: 'local-path-provisioner', image: /local-path/, app: 'local-path-provisioner' },
  'metrics-server.yaml': { name: 'metrics-server', image: /metrics-server/, app: 'metrics-server' },
}

/** The packaged components that the stand-in knows, written anew at every start but for those in `disable`. */
export function writePackagedManifests(disabled: readonly string[]): void {
  mkdirSync(manifestsDir, { recursive: true, mode: 0o700 })
  for (const [file, { name, image, app }] of Object.entries(packaged)) {
    if (disabled.includes(file.replace('.yaml', ''))) continue
    const labels = { 'k8s-app': app }
    const deployment = {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name, namespace: 'kube-system', labels },
      spec: {
        replicas: 1,
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            volumes: app === 'metrics-server' ? [{ name: 'tmp-dir', emptyDir: {} }] : [],
            containers: [{ name, image: systemImages(version).find(ref => image.test(ref)) }],
          },
        },
      },
    }
    writeWhole(join(manifestsDir, file), `${JSON.stringify(deployment, undefined, 2)}\n`)
  }
}
