import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { requireProgram, type DebianPart } from '../../scripts/lab/debian.ts'
import { attempt, must, type CommandOptions } from './command.ts'
import { startDaemon } from './daemon.ts'
import { makeScratch, type Scratch } from './scratch.ts'

/** Runs a program against an engine of the test's own; returns stdout, trimmed; anything but exit code 0 is thrown. */
export type Tool = (args: readonly string[], options?: CommandOptions) => Promise<string>

export interface DockerEngine extends AsyncDisposable {
  /** The client, speaking to this engine only. Containers have no network (`--network none` or `host`): the machine's firewall stays as it is. */
  readonly docker: Tool
  /** For DOCKER_HOST and dockerode. */
  readonly socket: string
}

/** A dockerd with its own data, state and containerd. Half a second to start on an idle machine. */
export async function startDockerd(): Promise<DockerEngine> {
  const dockerd = await requireProgram({ program: 'dockerd', package: 'docker.io' })
  const docker = await requireProgram({ program: '/usr/bin/docker', package: 'docker.io' })
  await using stack = new AsyncDisposableStack()
  const { path } = stack.use(await makeScratch())
  const socket = join(path, 'docker.sock')
  const places = ['--data-root', join(path, 'data'), '--exec-root', join(path, 'exec'), '--pidfile', join(path, 'pid')]
  const noNetwork = ['--bridge=none', '--iptables=false', '--ip6tables=false', '--ip-forward=false', '--ip-masq=false']
  // An empty configuration of its own, so that /etc/docker/daemon.json is not read.
  await writeFile(join(path, 'daemon.json'), '{}')
  const config = ['--config-file', join(path, 'daemon.json')]
  const ready = async (): Promise<true | undefined> =>
    (await attempt([docker, '-H', `unix://${socket}`, 'version'], { env: ownEnvironment(path) })).code === 0
      ? true
      : undefined
  const argv = [dockerd, '-H', `unix://${socket}`, ...places, ...config, ...noNetwork, '--userland-proxy=false']
  stack.use(
    await startDaemon(argv, { log: join(path, 'log'), ready, startTimeoutMs: 60_000, env: ownEnvironment(path) }),
  )
  const tool = toolWith([docker, '-H', `unix://${socket}`], ownEnvironment(path))
  const parts = stack.move()
  return { docker: tool, socket, [Symbol.asyncDispose]: async () => await parts.disposeAsync() }
}

export interface ContainerdEngine extends AsyncDisposable {
  /** In the namespace `k8s.io`, as k3s uses it. */
  readonly ctr: Tool
  readonly socket: string
}

/** A containerd with its own root and state, without CRI. */
export async function startContainerd(): Promise<ContainerdEngine> {
  const containerd = await requireProgram({ program: 'containerd', package: 'containerd' })
  const ctr = await requireProgram({ program: 'ctr', package: 'containerd' })
  await using stack = new AsyncDisposableStack()
  const { path } = stack.use(await makeScratch())
  const socket = join(path, 'c.sock')
  const config = join(path, 'config.toml')
  const places = ['--root', join(path, 'root'), '--state', join(path, 'state'), '--address', socket]
  const optPath = `[plugins."io.containerd.internal.v1.opt"]\npath = "${join(path, 'opt')}"\n`
  await writeFile(config, `version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n${optPath}`)
  const ready = async (): Promise<true | undefined> =>
    (await attempt([ctr, '-a', socket, 'version'])).code === 0 ? true : undefined
  const argv = [containerd, '--config', config, ...places]
  stack.use(await startDaemon(argv, { log: join(path, 'log'), ready, env: ownEnvironment(path) }))
  const tool = toolWith([ctr, '-a', socket, '-n', 'k8s.io'], ownEnvironment(path))
  const parts = stack.move()
  return { ctr: tool, socket, [Symbol.asyncDispose]: async () => await parts.disposeAsync() }
}

export interface ContainerTools extends AsyncDisposable {
  /** podman and buildah share one store; containers of `podman run` have no network unless told. */
  readonly podman: Tool
  readonly buildah: Tool
  readonly skopeo: Tool
  readonly umoci: Tool
  /** The environment they run in: HOME, XDG and storage all below `home`. For starting them by hand. */
  readonly env: Readonly<Record<string, string>>
  /** Scratch space of the test, gone at the end. */
  readonly home: string
}

/** podman, buildah, skopeo and umoci with a store, logins and configuration of their own. */
export async function openContainerTools(): Promise<ContainerTools> {
  await using stack = new AsyncDisposableStack()
  const scratch = stack.use(await makeScratch())
  const env = await writeContainersConfig(scratch)
  const tool = async (name: string, flags: readonly string[] = []): Promise<Tool> =>
    toolWith([await requireProgram(containerPrograms[name] ?? { program: name, package: name }), ...flags], env)
  const { path } = scratch
  const podmanFlags = ['--cgroup-manager', 'cgroupfs', '--events-backend', 'none', '--tmpdir', join(path, 'libpod')]
  const storage = ['--root', join(path, 'storage'), '--runroot', join(path, 'run')]
  const tools = {
    podman: await tool('podman', [...storage, ...podmanFlags]),
    buildah: await tool('buildah', storage),
    skopeo: await tool('skopeo', ['--tmpdir', join(path, 'tmp')]),
    umoci: await tool('umoci'),
  }
  const parts = stack.move()
  return { ...tools, env, home: path, [Symbol.asyncDispose]: async () => await parts.disposeAsync() }
}

const containerPrograms: Readonly<Record<string, DebianPart>> = {
  podman: { program: 'podman', package: 'podman' },
  buildah: { program: 'buildah', package: 'buildah' },
  skopeo: { program: 'skopeo', package: 'skopeo' },
  umoci: { program: 'umoci', package: 'umoci' },
}

/** Limits: a root without CAP_SYS_RESOURCE cannot raise its own, and podman's defaults would. crun 1.8 fails with hybrid cgroups. */
const containersConf = `[containers]
default_ulimits = ["nofile=20000:20000", "nproc=30000:30000"]
netns = "none"
[engine]
runtime = "runc"
`

async function writeContainersConfig({ path }: Scratch): Promise<Record<string, string>> {
  await mkdir(join(path, 'tmp'))
  await mkdir(join(path, 'xdg-run'), { mode: 0o700 })
  const storageConf = `[storage]\ndriver = "overlay"\ngraphroot = "${path}/storage"\nrunroot = "${path}/run"\n`
  await writeFile(join(path, 'storage.conf'), storageConf)
  await writeFile(join(path, 'containers.conf'), containersConf)
  await writeFile(join(path, 'registries.conf'), 'unqualified-search-registries = []\n')
  await writeFile(join(path, 'auth.json'), '{"auths":{}}', { mode: 0o600 })
  return {
    ...ownEnvironment(path),
    XDG_RUNTIME_DIR: join(path, 'xdg-run'),
    CONTAINERS_CONF: join(path, 'containers.conf'),
    CONTAINERS_STORAGE_CONF: join(path, 'storage.conf'),
    CONTAINERS_REGISTRIES_CONF: join(path, 'registries.conf'),
    REGISTRY_AUTH_FILE: join(path, 'auth.json'),
    TMPDIR: join(path, 'tmp'),
  }
}

/** Nothing of the developer's own logins or settings gets in. */
function ownEnvironment(home: string): Record<string, string> {
  return { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: home, LANG: 'C.UTF-8' }
}

function toolWith(prefix: readonly string[], env: Readonly<Record<string, string>>): Tool {
  return async (args, options = {}) =>
    await must([...prefix, ...args], { timeoutMs: 300_000, ...options, env: { ...env, ...options.env } })
}
