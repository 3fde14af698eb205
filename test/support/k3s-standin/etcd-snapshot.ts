import { existsSync, readdirSync, rmSync, statSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { etcdDir } from './etcd.ts'
import { readIfPresent, writeWhole } from './files.ts'
import { Exit, Fatal, unknownToStandIn } from './log.ts'
import { dbDir } from './paths.ts'
import { RemoteStore } from './remote-store.ts'
import { membershipFile } from './take-over.ts'

const snapshotsDir = join(dbDir, 'snapshots')

/** `k3s etcd-snapshot save --name NAME | ls | delete NAME…`: a file named after the name, the node and the time. (facts/k3s.md §7.5) */
export async function runEtcdSnapshot(argv: readonly string[]): Promise<void> {
  const [verb, ...flags] = argv
  if (verb === 'ls' || verb === 'list') return list()
  if (verb === 'delete') return remove(flags)
  if (verb !== 'save') throw unknownToStandIn(`etcd-snapshot ${verb ?? ''}`)
  const unknown = flags.find((flag, index) => flag !== '--name' && flags[index - 1] !== '--name')
  if (unknown !== undefined) throw unknownToStandIn(`etcd-snapshot save ${unknown}`)
  const name = flags[flags.indexOf('--name') + 1] ?? 'on-demand'
  const path = join(snapshotsDir, `${name}-${hostname()}-${Math.floor(Date.now() / 1000)}`)
  writeWhole(path, JSON.stringify(await readObjects()))
  process.stdout.write(`Snapshot ${path} saved.\n`)
}

function remove(names: readonly string[]): void {
  for (const name of names) {
    if (name.includes('/') || !existsSync(join(snapshotsDir, name)))
      throw new Fatal(`the snapshot "${name}" is not in ${snapshotsDir}`)
    rmSync(join(snapshotsDir, name))
    process.stdout.write(`Snapshot ${name} deleted.\n`)
  }
}

function list(): void {
  if (!existsSync(snapshotsDir)) return
  for (const name of readdirSync(snapshotsDir).toSorted())
    process.stdout.write(`${name} file://${join(snapshotsDir, name)} ${statSync(join(snapshotsDir, name)).size}\n`)
}

/** The leader's are on its disk; another server asks it. */
async function readObjects(): Promise<unknown> {
  const own = readIfPresent(join(etcdDir, 'state.json'))
  if (own !== undefined) return Object.entries((JSON.parse(own) as { readonly objects: object }).objects)
  const text = readIfPresent(membershipFile)
  if (text === undefined) throw new Fatal('etcd datastore disabled')
  const { leader, ca, token } = JSON.parse(text) as { leader: string; ca: string; token: string }
  return await new RemoteStore({ url: leader, ca, token, member: hostname().toLowerCase() })
    .dump()
    .catch((error: unknown) => {
      throw new Exit(1, String(error))
    })
}
