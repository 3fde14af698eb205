import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest, type RequestOptions } from 'node:https'
import { buffer } from 'node:stream/consumers'
import { splitName } from './image-name.ts'
import { documentLimit, hasBlob, putBlob, putImage } from './image-store.ts'
import { log, reasonOf } from './log.ts'
import { type Endpoint, mirrorFor } from './registries.ts'

interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
  readonly platform?: { readonly os: string; readonly architecture: string }
}

interface Manifest {
  readonly manifests?: readonly Descriptor[]
  readonly config?: Descriptor
  readonly layers?: readonly Descriptor[]
}

const accepted = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
]

/**
 * Pulls by a full name through the mirrors of its registry, one after the other; the error is the last one's. (facts/k3s.md §5.1)
 * The registry itself is never asked: the stand-in stays in its lab, where nobody resolves that name.
 */
export async function pullImage(name: string): Promise<void> {
  const slash = name.indexOf('/')
  const registry = name.slice(0, slash)
  const { repository, tag, digest } = splitName(name.slice(slash + 1))
  const mirror = mirrorFor(registry)
  let failure = `failed to pull and unpack image "${name}": no endpoint of "${registry}" is configured`
  for (const endpoint of mirror?.endpoints ?? []) {
    const path = rewritten(repository, mirror!.rewrite)
    try {
      return await pullFrom(endpoint, path, digest ?? tag ?? 'latest', name)
    } catch (error) {
      failure = `failed to pull and unpack image "${name}": ${endpoint.base}/${path}: ${reasonOf(error)}`
      log('info', `trying next host: ${failure}`)
    }
  }
  if (mirror?.fallsBack !== false)
    failure = `failed to pull and unpack image "${name}": dial tcp: lookup ${registry}: Try again`
  throw new Error(failure)
}

function rewritten(repository: string, rules: Readonly<Record<string, string>>): string {
  const rule = Object.entries(rules).find(([from]) => new RegExp(from).test(repository))
  return rule === undefined ? repository : repository.replace(new RegExp(rule[0]), rule[1])
}

async function pullFrom(endpoint: Endpoint, path: string, ref: string, name: string): Promise<void> {
  const get = async (what: string): Promise<Answer> => await call(`${endpoint.base}/${path}/${what}`, endpoint)
  const top = await get(`manifests/${ref}`)
  const target = digestOf(top.body)
  if (ref.startsWith('sha256:') && ref !== target) throw new Error(`unexpected digest ${target}`)
  putBlob(target, top.body.length, top.body)
  const index = JSON.parse(top.body.toString()) as Manifest
  const arch = process.arch === 'x64' ? 'amd64' : process.arch
  const chosen = index.manifests?.find(({ platform }) => platform?.os === 'linux' && platform.architecture === arch)
  if (index.manifests !== undefined && chosen === undefined)
    throw new Error('no match for platform in manifest: not found')
  const fetched = async ({ digest, size }: Descriptor, kind: 'manifests' | 'blobs'): Promise<Buffer> => {
    const { body } = await get(`${kind}/${digest}`)
    if (digestOf(body) !== digest || body.length !== size)
      throw new Error(`failed commit on ref: unexpected digest of ${digest}`)
    return body
  }
  let manifest = index
  if (chosen !== undefined) {
    const bytes = await fetched(chosen, 'manifests')
    putBlob(chosen.digest, chosen.size, bytes)
    manifest = JSON.parse(bytes.toString()) as Manifest
  }
  for (const blob of [manifest.config!, ...(manifest.layers ?? [])]) {
    if (hasBlob(blob.digest)) continue
    const body = await fetched(blob, 'blobs')
    putBlob(blob.digest, blob.size, blob.size <= documentLimit ? body : undefined)
  }
  const image = { target, mediaType: top.type, labels: {} }
  putImage({ ...image, name })
  // The CRI adds the name by digest to what was asked for by tag.
  if (!name.includes('@')) putImage({ ...image, name: `${name.replace(/:[^/:]+$/, '')}@${target}` })
  log('info', `Pulled image "${name}" from ${endpoint.base}`)
}

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

interface Answer {
  readonly body: Buffer
  readonly type: string
}

async function call(url: string, { config: { auth, tls } }: Endpoint): Promise<Answer> {
  const login = auth?.username === undefined ? {} : { auth: `${auth.username}:${auth.password ?? ''}` }
  const options: RequestOptions = {
    ...login,
    headers: { accept: accepted.join(', ') },
    timeout: 5000,
    agent: false,
    ...(tls?.ca_file === undefined ? {} : { ca: readFileSync(tls.ca_file) }),
    ...(tls?.cert_file === undefined
      ? {}
      : { cert: readFileSync(tls.cert_file), key: readFileSync(tls.key_file ?? '') }),
    ...(tls?.insecure_skip_verify === true ? { rejectUnauthorized: false } : {}),
  }
  return await new Promise((resolve, reject) => {
    const outgoing = (url.startsWith('https:') ? httpsRequest : httpRequest)(url, options, response => {
      const { statusCode = 0, headers } = response
      buffer(response).then(
        body =>
          statusCode === 200
            ? resolve({ body, type: headers['content-type'] ?? '' })
            : reject(new Error(`unexpected status from GET request to ${url}: ${statusCode}`)),
        (error: unknown) => reject(error instanceof Error ? error : new Error(String(error))),
      )
    })
    outgoing.once('timeout', () => outgoing.destroy(new Error(`no answer from ${url}`)))
    outgoing.once('error', reject)
    outgoing.end()
  })
}
