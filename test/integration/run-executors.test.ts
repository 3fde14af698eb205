import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeBaseTree } from '../support/base-tree.ts'
import { cloudimgJson } from '../support/cloudimg.ts'
import { startPodmanService } from '../support/podman-service.ts'
import { startDockerd } from '../support/engines.ts'
import { RunBuilder, type RunBuild, runLeftovers } from '../support/run-build.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'

let scratch: Scratch
const parts: AsyncDisposable[] = []
let env: Record<string, string>

const at = (...parts: string[]): string => join(scratch.path, ...parts)

beforeAll(async () => {
  scratch = await makeScratch()
  await makeBaseTree(at('base'))
  await writeFile(at('base/Kubefile'), 'FROM scratch\nCOPY . /\n')
  const docker = await startDockerd()
  parts.push(docker)
  const podman = await startPodmanService()
  parts.push(podman)
  env = { DOCKER_HOST: `unix://${docker.socket}`, CONTAINER_HOST: `unix://${podman.socket}` }
})
afterAll(async () => {
  for (const part of parts.reverse()) await part[Symbol.asyncDispose]()
  await scratch[Symbol.asyncDispose]()
})

interface Doctor {
  readonly executors: readonly { name: string; works: boolean; default: boolean; owners?: string; reason?: string }[]
}

/** Everything that a difference can be made of, and a mount of each kind. */
const lines = [
  'RUN mkdir -p /srv/dir/sub && echo one >/srv/one && echo two >/srv/dir/two && echo three >/srv/dir/sub/three && ln -s one /srv/link && ln /srv/one /srv/same',
  'RUN rm /srv/link && rm -r /srv/dir && echo a file >/srv/dir && chown 1000:77 /srv/one && touch /etc/passwd && chmod 711 /root',
  'RUN mkdir -p /swap/a && echo x >/swap/a/x && echo y >/swap/y',
  'RUN rm -r /swap && mkdir -p /swap/a && echo z >/swap/a/z && cp /bin/busybox /cap && setcap cap_chown=ep /cap && mkfifo /pipe && ln /bin/setcap /bin/setcap2',
  'WORKDIR /work',
  'USER app',
  'RUN id >/tmp/id && pwd >>/tmp/id && hostname >>/tmp/id && umask >>/tmp/id && env | grep -v -e SHLVL -e PWD -e HOSTNAME -e TERM -e container >>/tmp/id; ls -l / | grep -c . >/dev/null',
  'USER root',
  'RUN --mount=type=secret,id=s --mount=target=/ctx --mount=type=tmpfs,target=/t --mount=type=cache,target=/c cat /run/secrets/s /etc/hosts /etc/resolv.conf | wc -c >/size && ls /ctx /t >>/size && touch /c/x /t/x && (sleep 4343 &)',
  'RUN mkdir -p /etc/new /run/made && echo kept >/etc/new/kept',
]

describe('the executors of this machine', () => {
  let reports: Doctor['executors']
  let first: RunBuild

  async function buildWith(executor: string): Promise<RunBuild> {
    // A store of its own: nothing is known from the others' builds.
    const builder = new RunBuilder({ home: at(`home-${executor}`), env })
    await cloudimgJson(['build', at('base'), '-t', 'base'], builder.place)
    await writeFile(at('secret'), 'a secret of some length')
    const built = await builder.build(lines.slice(0, executor === 'bubblewrap' ? 4 : undefined), [
      '--executor',
      executor,
      '--secret',
      `id=s,src=${at('secret')}`,
    ])
    expect(await runLeftovers(builder.place)).toEqual([])
    return built
  }

  const diffIds = (built: RunBuild): readonly string[] => built.platforms[0]!.layers.map(layer => layer.diffId)

  beforeAll(async () => {
    reports = (await cloudimgJson<Doctor>(['doctor'], { home: at('doctor'), env })).executors
    first = await buildWith('unshare')
  })

  it('are tried one by one, and those that do not work are explained', () => {
    expect(reports.map(({ name }) => name)).toEqual([
      'unshare',
      'bubblewrap',
      'crun',
      'runc',
      'docker',
      'podman',
      'chroot',
    ])
    for (const { name, works, reason } of reports)
      expect([name, works || (reason ?? '').length > 5]).toEqual([name, true])
    expect(reports.filter(report => report.default).map(({ name }) => name)).toEqual(['unshare'])
    expect(reports.filter(({ works }) => works).length).toBeGreaterThanOrEqual(5)
  })

  /** What a build with the executor gives: its layers, or the refusal of one that does not work here. */
  async function outcome(name: string): Promise<readonly string[]> {
    if (reports.find(report => report.name === name)!.works) return diffIds(await buildWith(name))
    const builder = new RunBuilder({ home: at('home-unshare'), env })
    const { code, hint = '' } = await builder.failure(['RUN true'], ['--executor', name])
    return [code, hint === '' ? 'without a hint' : 'with a hint']
  }

  it.each(['bubblewrap', 'crun', 'runc', 'docker', 'podman'])(
    '%s makes the layers that unshare makes, or says why not',
    async name => {
      const works = reports.find(report => report.name === name)!.works
      const found = await outcome(name)
      const layers = diffIds(first).slice(0, found.length)
      expect(found).toEqual(works ? layers : ['EXECUTOR_UNAVAILABLE', 'with a hint'])
    },
  )

  it('chroot makes them too, but for the one that knows the host name', async () => {
    const found = await outcome('chroot')
    expect(found.filter(id => !diffIds(first).includes(id))).toHaveLength(1)
  })

  it('docker and podman use a toolbox image where the tree has no shell, and refuse without', async () => {
    for (const executor of ['docker', 'podman']) {
      const builder = new RunBuilder({ home: at(`home-${executor}`), env })
      const built = await builder.build(
        ['RUN mkdir -p bin && echo $(pwd) >bin/x'],
        ['--executor', executor, '--toolbox', 'base'],
        'scratch',
      )
      expect([...(await builder.tree('box')).keys()]).toEqual(['bin', 'bin/x'])
      expect(built.platforms[0]!.layers).toHaveLength(1)
      const { code, hint } = await builder.failure(['RUN : >y'], ['--executor', executor], 'scratch')
      expect([code, hint]).toEqual(['EXECUTOR_UNAVAILABLE', expect.stringContaining('--toolbox')])
    }
  })
})
