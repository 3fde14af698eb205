import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { hash } from 'bcryptjs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { hostPlatform } from '../../src/core/platform.ts'
import { parseReference } from '../../src/core/reference.ts'
import { saveDirectory } from '../../src/oci/archive/save-directory.ts'
import { imageFor } from '../../src/oci/document.ts'
import { remoteRepository } from '../../src/oci/remote/registry.ts'
import { makeCertificates } from '../support/certificates.ts'
import { type CloudimgServer, startCloudimgServer } from '../support/cloudimg-server.ts'
import { cloudimg, cloudimgJson } from '../support/cloudimg.ts'
import { attempt, must, quietContext } from '../support/command.ts'
import {
  type ContainerdEngine,
  type ContainerTools,
  type DockerEngine,
  openContainerTools,
  startContainerd,
  startDockerd,
} from '../support/engines.ts'
import { memoryEnd } from '../support/memory-end.ts'
import { sampleIndex } from '../support/sample-image.ts'
import { anonymous } from '../../src/oci/remote/credential.ts'

const ctx = quietContext(600_000)
const platform = hostPlatform()
const foreign = platform.arch === 'arm64' ? 'amd64' : 'arm64'
const { index, images, all } = sampleIndex([platform.arch, foreign], Buffer.alloc(300_000, 'some content'))

let tools: ContainerTools
let layout: string
beforeAll(async () => {
  tools = await openContainerTools()
  layout = join(tools.home, 'layout')
  const root = { name: parseReference('x:v1'), descriptor: index.descriptor }
  await saveDirectory(memoryEnd(all), [root], layout, {}, ctx)
})
afterAll(async () => {
  await tools[Symbol.asyncDispose]()
})

const noTls = ['--src-tls-verify=false', '--dest-tls-verify=false']
const keep = ['--all', '--preserve-digests', '-q']

describe('cloudimg serve', () => {
  let server: CloudimgServer
  let docker: DockerEngine
  let containerd: ContainerdEngine
  beforeAll(async () => {
    const starting = [
      startCloudimgServer({ home: join(tools.home, 'open') }, join(tools.home, 'open.log')),
      startDockerd(),
      startContainerd(),
    ] as const
    ;[server, docker, containerd] = await Promise.all(starting)
    await tools.skopeo(['copy', ...keep, ...noTls, `oci:${layout}:v1`, `docker://${server.host}/lab/x:v1`])
  })
  afterAll(async () => {
    await Promise.all([server, docker, containerd].map(part => part?.[Symbol.asyncDispose]()))
  })

  /** What lies there under that name, for this platform. */
  const there = async (
    path: string,
  ): Promise<{ readonly digest: string; readonly config: string; readonly diffIds: readonly string[] }> => {
    const repository = remoteRepository(parseReference(`${server.host}/${path}`), { credentials: { ...anonymous } })
    const found = (await repository.resolve('v1', ctx))!
    const image = await imageFor(repository, found, platform, ctx)
    return { digest: found.digest, config: image.manifest.config.digest, diffIds: image.config.rootfs.diff_ids }
  }
  const own = images[0]!

  it('takes both platforms from skopeo and gives them back, byte for byte', async () => {
    expect((await there('lab/x')).digest).toBe(index.descriptor.digest)
    const back = join(tools.home, 'back')
    await tools.skopeo(['copy', ...keep, ...noTls, `docker://${server.host}/lab/x:v1`, `dir:${back}`])
    expect(await readFile(join(back, 'manifest.json'))).toEqual(index.bytes)
  })

  it('docker pulls, and pushes under another name', async () => {
    const [from, to] = [`${server.host}/lab/x:v1`, `${server.host}/from/docker:v1`]
    await docker.docker(['pull', from])
    expect(await docker.docker(['image', 'inspect', '-f', '{{.Id}}', from])).toBe(own.config.descriptor.digest)
    await docker.docker(['tag', from, to])
    await docker.docker(['push', to])
    expect(await there('from/docker')).toMatchObject({
      config: own.config.descriptor.digest,
      diffIds: [own.layer.descriptor.digest],
    })
  })

  it('podman pulls, and pushes under another name', async () => {
    const [from, to] = [`${server.host}/lab/x:v1`, `${server.host}/from/podman:v1`]
    await tools.podman(['pull', '-q', '--tls-verify=false', from])
    await tools.podman(['push', '-q', '--tls-verify=false', from, to])
    expect(await there('from/podman')).toMatchObject({ diffIds: [own.layer.descriptor.digest] })
  })

  it('ctr pulls all platforms, and pushes them with their digests', async () => {
    const [from, to] = [`${server.host}/lab/x:v1`, `${server.host}/from/ctr:v1`]
    await containerd.ctr(['images', 'pull', '--plain-http', '--all-platforms', from])
    await containerd.ctr(['images', 'push', '--plain-http', to, from])
    expect((await there('from/ctr')).digest).toBe(index.descriptor.digest)
  })

  it('skopeo deletes: tags and digest are gone for everybody, other repositories stay', async () => {
    const [name, kept] = [`docker://${server.host}/gone/x:v1`, `docker://${server.host}/lab/x:v1`]
    await tools.skopeo(['copy', ...keep, ...noTls, kept, name])
    await tools.skopeo(['delete', '--tls-verify=false', name])
    await expect(tools.skopeo(['inspect', '--raw', '--tls-verify=false', name])).rejects.toThrow(
      /manifest unknown|MANIFEST_UNKNOWN|no manifest/,
    )
    expect(await tools.skopeo(['inspect', '--raw', '--tls-verify=false', kept])).toBe(index.bytes.toString())
  })
})

describe('cloudimg serve with TLS, passwords and nothing to write', () => {
  let server: CloudimgServer
  let certs: string
  const place = (): { home: string } => ({ home: join(tools.home, 'closed') })

  beforeAll(async () => {
    const { caFile, certFile, keyFile } = await makeCertificates(tools.home, '127.0.0.1')
    certs = join(tools.home, 'certs')
    await mkdir(certs)
    await copyFile(caFile, join(certs, 'ca.crt'))
    const users = join(tools.home, 'users')
    await writeFile(users, `lab:${await hash('pass:word', 5)}\n`)
    await cloudimgJson(['load', '-i', layout], place())
    const flags = ['--read-only', '--htpasswd', users, '--tls-cert', certFile, '--tls-key', keyFile]
    server = await startCloudimgServer(place(), join(tools.home, 'closed.log'), flags)
    const name = `${server.host}/lab/x:v1`
    await cloudimgJson(['tag', 'x:v1', name], place())
  })
  afterAll(async () => {
    await server[Symbol.asyncDispose]()
  })

  it('lets in who knows the password, by the authority’s certificate', async () => {
    const name = `docker://${server.host}/lab/x:v1`
    const inspect = ['inspect', '--raw', '--cert-dir', certs, name]
    expect(await tools.skopeo([...inspect, '--creds', 'lab:pass:word'])).toBe(index.bytes.toString())
    await expect(tools.skopeo([...inspect, '--creds', 'lab:wrong'])).rejects.toThrow(/unauthorized|authentication/)
    await expect(tools.skopeo(inspect)).rejects.toThrow(/unauthorized|authentication/)
  })

  it('takes nothing', async () => {
    const push = ['copy', ...keep, '--dest-cert-dir', certs, '--dest-creds', 'lab:pass:word']
    const pushing = tools.skopeo([...push, `oci:${layout}:v1`, `docker://${server.host}/other:v1`])
    await expect(pushing).rejects.toThrow(/unsupported|405|read-only/i)
  })

  it('is not there for who does not speak TLS', async () => {
    expect((await attempt(['curl', '-sf', `http://${server.host}/v2/`])).code).not.toBe(0)
    expect(await must(['curl', '-sk', '-u', 'lab:pass:word', `https://${server.host}/v2/`])).toBe('{}')
  })
})

describe('cloudimg serve refuses', () => {
  it.each([
    [['--tls-cert', '/etc/hostname'], /--tls-key is missing/],
    [['--tls-cert', '/etc/hostname', '--tls-key', '/etc/hostname'], /cannot be used/],
    [['--htpasswd', '/nonexistent'], /no such file/],
    [['--htpasswd', '/etc/hostname'], /bcrypt/],
    [['--host', '192.0.2.1'], /listening at/],
  ])('%j', async (flags, message) => {
    const { code, stderr } = await cloudimg(['serve', '--port', '0', ...flags], { home: join(tools.home, 'refused') })
    expect([code, stderr]).toEqual([expect.any(Number), expect.stringMatching(message)])
    expect(code).not.toBe(0)
    expect(stderr).toMatch(/hint:|no such file|listening/)
  })
})
