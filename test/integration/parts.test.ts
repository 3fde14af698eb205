import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { attempt, must } from '../support/command.ts'
import {
  openContainerTools,
  startContainerd,
  startDockerd,
  type ContainerdEngine,
  type ContainerTools,
  type DockerEngine,
} from '../support/engines.ts'
import { startRealRegistry } from '../support/real-registry.ts'
import { mountsBelow } from '../support/scratch.ts'

const status = ['curl', '-s', '-o', '/dev/null', '-w', '%{http_code}']

describe('a real registry', () => {
  it.each([
    ['plain', {}],
    ['tls', { tls: true }],
  ])('answers in %s mode', async (_, options) => {
    await using registry = await startRealRegistry(options)
    const trust = registry.caFile === undefined ? [] : ['--cacert', registry.caFile]
    expect(await must([...status, ...trust, `${registry.url}/v2/`])).toBe('200')
  })

  it('is refused over tls by who does not know its authority', async () => {
    await using registry = await startRealRegistry({ tls: true })
    // 60: CURLE_PEER_FAILED_VERIFICATION
    expect((await attempt([...status, `${registry.url}/v2/`])).code).toBe(60)
  })

  it('asks for a password in basic mode', async () => {
    await using registry = await startRealRegistry({ auth: 'basic' })
    const { user, password } = registry.credentials
    expect(await must([...status, `${registry.url}/v2/`])).toBe('401')
    expect(await must([...status, '-u', `${user}:wrong`, `${registry.url}/v2/`])).toBe('401')
    expect(await must([...status, '-u', `${user}:${password}`, `${registry.url}/v2/`])).toBe('200')
  })

  it('is gone after stop', async () => {
    const registry = await startRealRegistry()
    await registry.stop()
    // 7: CURLE_COULDNT_CONNECT
    expect((await attempt([...status, `${registry.url}/v2/`])).code).toBe(7)
    await expect(readFile(registry.storage)).rejects.toThrow('ENOENT')
  })
})

describe('the tools', () => {
  let tools: ContainerTools
  let docker: DockerEngine
  let containerd: ContainerdEngine
  /** A trivial image, `localhost/trivial:1`, as an OCI archive and as a docker archive. */
  let ociArchive: string
  let dockerArchive: string

  beforeAll(async () => {
    tools = await openContainerTools()
    docker = await startDockerd()
    containerd = await startContainerd()
    const context = join(tools.home, 'context')
    await mkdir(context)
    await writeFile(join(context, 'hello'), 'hello from a layer\n')
    await writeFile(join(context, 'Containerfile'), 'FROM scratch\nCOPY hello /hello\nCMD ["/hello"]\n')
    ociArchive = join(tools.home, 'oci.tar')
    dockerArchive = join(tools.home, 'docker.tar')
    await tools.buildah(['bud', '-q', '-t', 'localhost/trivial:1', context])
    await tools.buildah(['push', '-q', 'localhost/trivial:1', `oci-archive:${ociArchive}:localhost/trivial:1`])
    await tools.skopeo([
      'copy',
      '-q',
      `oci-archive:${ociArchive}`,
      `docker-archive:${dockerArchive}:localhost/trivial:1`,
    ])
  })
  afterAll(async () => {
    for (const part of [containerd, docker, tools]) await part[Symbol.asyncDispose]()
  })

  it('say who they are', async () => {
    expect(await docker.docker(['version', '-f', '{{.Server.Version}}'])).toMatch(/^\d+\.\d+/)
    expect(await containerd.ctr(['version'])).toContain('Server:')
    expect(await tools.podman(['info', '-f', '{{.Store.GraphDriverName}} {{.Store.GraphRoot}}'])).toBe(
      `overlay ${tools.home}/storage`,
    )
    expect(await tools.buildah(['--version'])).toContain('buildah version')
    expect(await tools.skopeo(['--version'])).toContain('skopeo version')
    expect(await tools.umoci(['--version'])).toContain('umoci version')
  })

  it('docker loads', async () => {
    expect(await docker.docker(['load', '-i', dockerArchive])).toContain('localhost/trivial:1')
    await docker.docker(['create', '--network', 'none', '--name', 'hello', 'localhost/trivial:1'])
    await docker.docker(['cp', 'hello:/hello', join(tools.home, 'docker-hello')])
    expect(await readFile(join(tools.home, 'docker-hello'), 'utf8')).toBe('hello from a layer\n')
  })

  it.each(['oci', 'docker'])('podman loads a %s archive', async form => {
    await tools.podman(['rmi', '-f', 'localhost/trivial:1'])
    expect(await tools.podman(['load', '-i', form === 'oci' ? ociArchive : dockerArchive])).toContain(
      'localhost/trivial:1',
    )
    const mount = await tools.podman(['image', 'mount', 'localhost/trivial:1'])
    expect(await readFile(join(mount, 'hello'), 'utf8')).toBe('hello from a layer\n')
    await tools.podman(['image', 'unmount', 'localhost/trivial:1'])
  })

  it('ctr imports', async () => {
    await containerd.ctr(['images', 'import', '--base-name', 'localhost/trivial', ociArchive])
    expect(await containerd.ctr(['images', 'ls', '-q'])).toContain('localhost/trivial:1')
    const target = join(tools.home, 'ctr-mount')
    await mkdir(target)
    await containerd.ctr(['images', 'mount', 'localhost/trivial:1', target])
    expect(await readFile(join(target, 'hello'), 'utf8')).toBe('hello from a layer\n')
    await containerd.ctr(['images', 'unmount', target])
  })

  it('umoci unpacks', async () => {
    const layout = join(tools.home, 'layout')
    await tools.skopeo(['copy', '-q', `oci-archive:${ociArchive}`, `oci:${layout}:1`])
    await tools.umoci(['unpack', '--image', `${layout}:1`, join(tools.home, 'bundle')])
    expect(await readFile(join(tools.home, 'bundle/rootfs/hello'), 'utf8')).toBe('hello from a layer\n')
  })

  it('docker and podman run a container without a network', async () => {
    const context = join(tools.home, 'runnable')
    await mkdir(context)
    // Debian's ldconfig is the one program that is linked statically everywhere.
    await copyFile('/sbin/ldconfig', join(context, 'ldconfig'))
    await writeFile(join(context, 'Containerfile'), 'FROM scratch\nCOPY ldconfig /\nENTRYPOINT ["/ldconfig", "-V"]\n')
    const archive = join(tools.home, 'runnable.tar')
    await tools.buildah(['bud', '-q', '-t', 'localhost/runnable:1', context])
    await tools.buildah(['push', '-q', 'localhost/runnable:1', `docker-archive:${archive}:localhost/runnable:1`])
    await docker.docker(['load', '-q', '-i', archive])
    expect(await tools.podman(['run', '--rm', 'localhost/runnable:1'])).toContain('ldconfig')
    expect(await docker.docker(['run', '--rm', '--network', 'none', 'localhost/runnable:1'])).toContain('ldconfig')
  })

  const toRegistry = (image: string): string[] =>
    ['copy', '-q', '--dest-tls-verify=false', `oci-archive:${ociArchive}`].concat(`docker://${image}`)

  it('copy through a registry', async () => {
    await using registry = await startRealRegistry()
    const image = `${registry.host}/team/trivial:1`
    await tools.skopeo(toRegistry(image))
    expect(await tools.podman(['pull', '-q', '--tls-verify=false', image])).toMatch(/^[0-9a-f]{64}$/)
    expect(await docker.docker(['pull', '-q', image])).toBe(image)
  })

  it.each([
    ['a password', { auth: 'basic' }],
    ['a token', { auth: 'token' }],
    ['a token, over tls', { auth: 'token', tls: true }],
  ] as const)('copy through a registry that asks for %s', async (_, options) => {
    await using registry = await startRealRegistry(options)
    const { user, password } = registry.credentials
    const image = `${registry.host}/team/trivial:1`
    await expect(tools.skopeo(toRegistry(image))).rejects.toThrow(/unauthorized|authentication required|denied/)
    const login = ['-u', user, '--password-stdin', registry.host]
    await tools.podman(['login', '--tls-verify=false', ...login], { input: password })
    await docker.docker(['login', ...login], { input: password })
    await tools.skopeo(toRegistry(image))
    expect(await tools.podman(['pull', '-q', '--tls-verify=false', image])).toMatch(/^[0-9a-f]{64}$/)
    expect(await docker.docker(['pull', '-q', image])).toBe(image)
  })

  it('show the token server what they want, and pull without login where that is allowed', async () => {
    await using registry = await startRealRegistry({ auth: 'token', anonymousPull: true })
    const { user, password } = registry.credentials
    const image = `${registry.host}/team/trivial:1`
    await tools.podman(['login', '--tls-verify=false', '-u', user, '-p', password, registry.host])
    await tools.skopeo(toRegistry(image))
    await tools.podman(['logout', registry.host])
    expect(await tools.skopeo(['inspect', '--tls-verify=false', `docker://${image}`])).toContain('"Digest"')
    const asked = registry.tokens?.requests.map(({ user: as, scopes }) => [as, ...scopes])
    expect(asked).toContainEqual(['lab', 'repository:team/trivial:pull,push'])
    expect(asked?.at(-1)).toEqual([undefined, 'repository:team/trivial:pull'])
  })

  it('leave no mount and no process', async () => {
    const engine = await startDockerd()
    const home = engine.socket.slice(0, engine.socket.lastIndexOf('/'))
    await engine.docker(['load', '-q', '-i', dockerArchive])
    await engine[Symbol.asyncDispose]()
    expect(await mountsBelow(home)).toEqual([])
    expect((await must(['ps', '-eo', 'args'])).split('\n').filter(line => line.includes(home))).toEqual([])
  })
})
