import { appendFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { MiB } from '../src/core/bytes.ts'
import type { ContainerTools, DockerEngine } from '../test/support/engines.ts'
import { noise } from '../test/support/noise.ts'
import { hashOnAllCores, putWithCurl } from './limit.ts'
import { compare, type Contender, type Row, sum, timed } from './measure.ts'
import { milliseconds, ratio, type Section } from './report.ts'
import { type Builder, Cloudimg, Containers, Docker } from './tools.ts'
import { makeLargeFile, makeSmallFiles, type Workload } from './workload.ts'

/** All that a section needs. */
export interface Bench {
  /** bin/cloudimg.js of the package as it is published. */
  readonly program: string
  readonly scratch: string
  readonly workload: Workload
  readonly registry: string
  readonly tools: ContainerTools
  readonly docker: DockerEngine
  readonly rounds: number
}

export type MakeSection = (bench: Bench) => Promise<readonly Section[]>

/** Root's; a cache and nothing else. */
const skopeoMemory = '/var/lib/containers/cache/blob-info-cache-v1.boltdb'

let pushes = 0
/** A repository that the registry has never seen: the blobs of others are not mounted, since nobody is told of them. */
const freshRepository = (registry: string): string => `${registry}/bench-${++pushes}`

function cloudimgs({ program, scratch }: Bench): { readonly plain: Cloudimg; readonly usual: Cloudimg } {
  return {
    plain: new Cloudimg('cloudimg, --compression none', program, join(scratch, 'plain'), ['--compression', 'none']),
    usual: new Cloudimg('cloudimg', program, join(scratch, 'usual')),
  }
}

function builders(bench: Bench): readonly Builder[] {
  const { plain, usual } = cloudimgs(bench)
  const containers = (['buildah', 'podman'] as const).map(name => new Containers(name, bench.tools))
  return [plain, usual, ...containers, new Docker(bench.docker, bench.scratch)]
}

export const coldBuild: MakeSection = async bench => {
  const rows = await compare(
    builders(bench).map(builder => ({
      name: builder.name,
      prepare: () => builder.clear(),
      run: () => builder.build(bench.workload),
    })),
    bench.rounds,
  )
  const targets = [
    ...ratio(rows, 'cloudimg, --compression none', 'buildah', 0.15),
    ...ratio(rows, 'cloudimg', 'buildah', 0.3),
    ...memory(rows),
  ]
  return [{ title: 'cold build, two platforms', rows, targets }]
}

/** Beside them the limit of this machine and this registry, in the same rounds. */
export const buildAndPush: MakeSection = async bench => {
  const limit: Contender = {
    name: 'limit',
    run: async () => {
      const hashed = await hashOnAllCores(bench.workload.context)
      return { seconds: hashed + putWithCurl(bench.workload.context, freshRepository(bench.registry)), peakMB: 0 }
    },
  }
  const contenders = builders(bench).map(builder => ({
    name: builder.name,
    prepare: () => builder.clear(),
    run: () => sum([builder.build(bench.workload), builder.push(freshRepository(bench.registry))]),
  }))
  const rows = await compare([...contenders, limit], bench.rounds)
  const targets = [
    ...ratio(rows, 'cloudimg', 'buildah', 0.35),
    ...ratio(rows, 'cloudimg', 'podman', 0.35),
    ...ratio(rows, 'cloudimg', 'docker', 0.2),
    ...ratio(rows, 'cloudimg', 'limit', 1.5),
    ...ratio(rows, 'cloudimg, --compression none', 'limit', 1.5),
    ...memory(rows),
  ]
  return [{ title: 'cold build and push, two platforms', rows, targets }]
}

export const rebuild: MakeSection = async bench => {
  const { usual } = cloudimgs(bench)
  const buildah = new Containers('buildah', bench.tools)
  const { workload } = bench
  await buildah.clear()
  usual.clear()
  usual.build(workload)
  buildah.build(workload, true)
  const both = (name: string, change?: () => void): Contender[] => [
    { name: `cloudimg, ${name}`, prepare: () => change?.(), run: () => usual.build(workload) },
    { name: `buildah, ${name}`, prepare: () => change?.(), run: () => buildah.build(workload, true) },
  ]
  const script = join(workload.context, 'scripts/0.sh')
  const k3s = join(workload.context, 'amd64/k3s')
  let version = 0
  const rounds = Math.max(bench.rounds, 5)
  const same = await compare(both('nothing changed'), rounds)
  const small = await compare(
    both('one script changed', () => appendFileSync(script, 'true\n')),
    rounds,
  )
  const large = await compare(
    both('a new k3s', () => writeFileSync(k3s, noise(`k3s ${++version}`, 70 * MiB))),
    bench.rounds,
  )
  const rows = [...same, ...small, ...large]
  const targets = [
    ...milliseconds(rows, 'cloudimg, nothing changed', 150),
    ...ratio(rows, 'cloudimg, nothing changed', 'buildah, nothing changed', 0.1),
    ...milliseconds(rows, 'cloudimg, one script changed', 250),
  ]
  return [{ title: 'building again', rows, targets }]
}

/** The same blobs: an OCI layout that cloudimg wrote, moved by both. */
export const transfer: MakeSection = async bench => {
  const { usual } = cloudimgs(bench)
  const { scratch, registry, tools } = bench
  const layout = join(scratch, 'layout')
  rmSync(layout, { recursive: true, force: true })
  usual.clear()
  usual.build(bench.workload)
  usual.run('save', '-q', '--format', 'oci-dir', '-o', layout, 'bench:1')
  const skopeo = (from: string, to: string): ReturnType<typeof timed> => {
    const flags = ['--all', '--preserve-digests', '--src-tls-verify=false', '--dest-tls-verify=false']
    return timed({ argv: ['skopeo', '--tmpdir', join(tools.home, 'tmp'), 'copy', ...flags, from, to], env: tools.env })
  }
  const there = `${registry}/bench-there`
  usual.push(there)
  const pulled = new Cloudimg('pulled', bench.program, join(scratch, 'pulled'))
  const out = (name: string): string => join(scratch, name)
  const gone = (name: string) => (): void => rmSync(out(name), { recursive: true, force: true })
  const rows = await compare(
    [
      { name: 'cloudimg push', run: () => usual.push(freshRepository(registry)) },
      {
        name: 'skopeo push',
        // It remembers, of earlier rounds too, which repositories have a blob, and would have it mounted.
        prepare: () => rmSync(skopeoMemory, { force: true }),
        run: () => skopeo(`oci:${layout}`, `docker://${freshRepository(registry)}:1`),
      },
      { name: 'cloudimg push again', run: () => usual.push(there) },
      { name: 'skopeo push again', run: () => skopeo(`oci:${layout}`, `docker://${there}:1`) },
      { name: 'cloudimg pull', prepare: () => pulled.clear(), run: () => pulled.run('pull', '-q', `${there}:1`) },
      {
        name: 'skopeo pull',
        prepare: gone('skopeo-pull'),
        run: () => skopeo(`docker://${there}:1`, `oci:${out('skopeo-pull')}`),
      },
      {
        name: 'cloudimg save',
        prepare: gone('saved.tar'),
        run: () => usual.run('save', '-q', '--format', 'oci-archive', '-o', out('saved.tar'), 'bench:1'),
      },
      {
        name: 'cloudimg save, hybrid',
        prepare: gone('saved.tar'),
        run: () => usual.run('save', '-q', '-o', out('saved.tar'), 'bench:1'),
      },
      {
        name: 'skopeo save',
        prepare: gone('skopeo.tar'),
        run: () => skopeo(`oci:${layout}`, `oci-archive:${out('skopeo.tar')}`),
      },
    ],
    bench.rounds,
  )
  for (const name of ['skopeo-pull', 'saved.tar', 'skopeo.tar', 'layout', 'pulled']) gone(name)()
  const targets = [
    ...ratio(rows, 'cloudimg push', 'skopeo push', 0.9),
    ...ratio(rows, 'cloudimg push again', 'skopeo push', 0.1),
    ...ratio(rows, 'cloudimg pull', 'skopeo pull', 0.7),
    ...ratio(rows, 'cloudimg save', 'skopeo save', 0.2),
    ...memory(rows),
  ]
  return [{ title: 'the same blobs: push, pull, save', rows, targets }]
}

/** How time and memory grow with bytes and with files. */
export const sweep: MakeSection = async bench => {
  const rows: Row[] = []
  const buildah = new Containers('buildah', bench.tools)
  const one = async (name: string, workload: Workload, withPeer: boolean): Promise<void> => {
    const { plain } = cloudimgs(bench)
    const mine = { name: `cloudimg, ${name}`, prepare: () => plain.clear(), run: () => plain.build(workload) }
    const peer = { name: `buildah, ${name}`, prepare: () => buildah.clear(), run: () => buildah.build(workload) }
    rows.push(...(await compare(withPeer ? [mine, peer] : [mine], bench.rounds)))
    plain.clear()
  }
  const place = join(bench.scratch, 'sweep')
  for (const mebibytes of [100, 400, 1600, 4096]) {
    await one(`${mebibytes} MiB`, await makeLargeFile(place, mebibytes), false)
    rmSync(place, { recursive: true })
  }
  for (const count of [10, 1000, 10_000, 50_000]) {
    await one(`${count} files`, await makeSmallFiles(place, count), count >= 10_000)
    rmSync(place, { recursive: true })
  }
  const targets = [...ratio(rows, 'cloudimg, 50000 files', 'buildah, 50000 files', 0.5), ...memory(rows)]
  return [{ title: 'growing: one file of noise, many small files (two platforms, --compression none)', rows, targets }]
}

export const start: MakeSection = async bench => {
  const env = { PATH: process.env.PATH ?? '', HOME: bench.scratch }
  const node = (name: string, ...args: readonly string[]): Contender => ({
    name,
    run: () => timed({ argv: [process.execPath, ...args], env }),
  })
  const contenders = [node('node -e 0', '-e', '0'), node('cloudimg --version', bench.program, '--version')]
  const rows = await compare(contenders, Math.max(11, bench.rounds))
  const above = (rows[1]!.seconds - rows[0]!.seconds) * 1000
  return [{ title: 'starting', rows, targets: [{ what: 'above node -e 0', found: above, most: 80, unit: 'ms' }] }]
}

/** cloudimg's peaks. */
function memory(rows: readonly Row[]): Section['targets'] {
  const own = rows.filter(({ name }) => name.startsWith('cloudimg'))
  return [{ what: 'cloudimg, most memory', found: Math.max(...own.map(({ peakMB }) => peakMB)), most: 250, unit: 'MB' }]
}
