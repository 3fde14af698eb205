import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { cloudimgEnvironment } from '../test/support/cloudimg.ts'
import { type ContainerTools, type DockerEngine } from '../test/support/engines.ts'
import { type Cost, sum, timed } from './measure.ts'
import { arches, type Workload } from './workload.ts'

/** A builder of images for two platforms. Each step is what its users type. */
export interface Builder {
  readonly name: string
  /** An empty store. */
  clear(): Promise<void> | void
  build(workload: Workload, cached?: boolean): Cost
  push(repository: string): Cost
}

const platforms = arches.map(arch => `linux/${arch}`).join(',')

export class Cloudimg implements Builder {
  readonly name: string
  readonly home: string
  readonly #program: string
  readonly #flags: readonly string[]

  /** `program`: the package's bin/cloudimg.js. */
  constructor(name: string, program: string, home: string, flags: readonly string[] = []) {
    this.name = name
    this.#program = program
    this.home = home
    this.#flags = flags
  }

  clear(): void {
    rmSync(this.home, { recursive: true, force: true })
  }

  run(...args: readonly string[]): Cost {
    return timed({ argv: [process.execPath, this.#program, ...args], env: cloudimgEnvironment({ home: this.home }) })
  }

  build({ kubefile, context }: Workload): Cost {
    return this.run('build', '-q', '-f', kubefile, '-t', 'bench:1', '--platform', platforms, ...this.#flags, context)
  }

  push(repository: string): Cost {
    return this.run('push', '-q', 'bench:1', `${repository}:1`)
  }
}

/** buildah and podman share the words and the store, and are never there together. */
export class Containers implements Builder {
  readonly name: 'buildah' | 'podman'
  readonly #tools: ContainerTools

  constructor(name: 'buildah' | 'podman', tools: ContainerTools) {
    this.name = name
    this.#tools = tools
  }

  async clear(): Promise<void> {
    await this.#tools.buildah(['rmi', '--all', '--force'])
    await this.#tools.buildah(['manifest', 'rm', 'localhost/bench:1']).catch(() => '')
  }

  build({ kubefile, context }: Workload, cached = false): Cost {
    const verb = this.name === 'buildah' ? ['bud'] : ['build']
    const layers = `--layers=${cached}`
    return this.#run([
      ...verb,
      layers,
      '--platform',
      platforms,
      '--manifest',
      'localhost/bench:1',
      '-f',
      kubefile,
      context,
    ])
  }

  push(repository: string): Cost {
    return this.#run([
      'manifest',
      'push',
      '--all',
      '--tls-verify=false',
      'localhost/bench:1',
      `docker://${repository}:1`,
    ])
  }

  #run(args: readonly string[]): Cost {
    const { home, env } = this.#tools
    const places = ['--root', join(home, 'storage'), '--runroot', join(home, 'run')]
    const podman = ['--cgroup-manager', 'cgroupfs', '--events-backend', 'none', '--tmpdir', join(home, 'libpod')]
    const argv = [this.name, ...places, ...(this.name === 'podman' ? podman : []), ...args]
    return timed({ argv, env })
  }
}

export class Docker implements Builder {
  readonly name = 'docker'
  readonly #engine: DockerEngine
  readonly #home: string

  constructor(engine: DockerEngine, home: string) {
    this.#engine = engine
    this.#home = home
  }

  async clear(): Promise<void> {
    await this.#engine.docker(['system', 'prune', '--all', '--force'])
  }

  // The builder of docker 20.10 knows no TARGETARCH, and from scratch makes images of its own platform only: the same bytes.
  build({ kubefile, context }: Workload, cached = false): Cost {
    const cache = cached ? [] : ['--no-cache']
    return this.#each(arch => [
      ['build', '-q', ...cache, '--build-arg', `TARGETARCH=${arch}`],
      ['-t', `bench:${arch}`, '-f', kubefile, context],
    ])
  }

  push(repository: string): Cost {
    return sum([
      this.#each(arch => [['tag', `bench:${arch}`, `${repository}:${arch}`]]),
      this.#each(arch => [['push', '-q', `${repository}:${arch}`]]),
    ])
  }

  #each(args: (arch: string) => readonly (readonly string[])[]): Cost {
    const env = { PATH: process.env.PATH ?? '', HOME: this.#home, DOCKER_BUILDKIT: '0' }
    const client = ['/usr/bin/docker', '-H', `unix://${this.#engine.socket}`]
    const cost = sum(arches.map(arch => timed({ argv: [...client, ...args(arch).flat()], env })))
    return { ...cost, peakMB: Math.max(cost.peakMB, daemonPeak(this.#engine.socket)) }
  }
}

/** The work is the daemon's: its own peak since it was started. */
function daemonPeak(socket: string): number {
  for (const pid of readdirSync('/proc').filter(name => /^\d+$/.test(name))) {
    try {
      const argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
      if (!argv[0]!.endsWith('dockerd') || !argv.includes(`unix://${socket}`)) continue
      const kib = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
      return (Number(kib) * 1024) / 1e6
    } catch {
      continue // gone in between
    }
  }
  return 0
}
