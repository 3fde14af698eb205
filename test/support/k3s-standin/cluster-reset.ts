import { existsSync, renameSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { openBootstrap } from './bootstrap.ts'
import { etcdDir, membersFile } from './etcd.ts'
import { readIfPresent, writeWhole } from './files.ts'
import { LocalStore, writeState } from './local-store.ts'
import { Fatal, log } from './log.ts'
import { nodeNameOf } from './node-object.ts'
import type { Options } from './options.ts'
import { apiPort, dbDir } from './paths.ts'
import { replicaFile } from './replica.ts'
import { passwordOf, tokenOf } from './server-token.ts'
import type { KubeObject } from './store.ts'
import { membershipFile } from './take-over.ts'

const stateFile = join(etcdDir, 'state.json')
/** A reset in a row is refused until the service was started once. (facts/k3s.md §7.5) */
const resetFlag = join(dbDir, 'reset-flag')

export function clearResetFlag(): void {
  rmSync(resetFlag, { force: true })
}

/**
 * `k3s server --cluster-reset [--cluster-reset-restore-path=FILE]`: this server becomes the only member, with the data that it has or
 * with those of the snapshot; then it ends. (facts/k3s.md §7.5) @throws Fatal where k3s would end.
 */
export async function resetCluster(options: Options, address: string): Promise<void> {
  if (options.one('server') !== undefined) throw new Fatal('cannot perform cluster-reset while server URL is set')
  if (existsSync(resetFlag))
    throw new Fatal(
      `Managed etcd cluster membership was successfully reset, please remove the cluster-reset flag and start k3s normally. If you need to perform another cluster reset, you must first manually delete the ${resetFlag} file`,
    )
  if (await isTaken(apiPort)) throw new Fatal(`listen tcp :${apiPort}: bind: address already in use`)
  const from = options.one('cluster-reset-restore-path')
  const objects = from === undefined ? ownObjects() : await snapshotObjects(from, options)
  if (from !== undefined && existsSync(etcdDir))
    renameSync(etcdDir, join(dbDir, `etcd-old-${Math.floor(Date.now() / 1000)}`))
  writeState(stateFile, objects)
  writeWhole(membersFile, JSON.stringify([{ name: nodeNameOf(options), address, isLearner: false }]))
  rmSync(membershipFile, { force: true })
  writeWhole(resetFlag, '')
  log(
    'info',
    `Managed etcd cluster membership has been reset, restart without --cluster-reset flag now. Backup and delete ${dbDir} on each peer etcd server and rejoin the nodes`,
  )
}

type Objects = readonly (readonly [string, KubeObject])[]

/** A server that leads has them as they are, another one as it last saw them. */
function ownObjects(): Objects {
  const led = readIfPresent(stateFile)
  if (led !== undefined)
    return Object.entries((JSON.parse(led) as { readonly objects: Record<string, KubeObject> }).objects)
  const followed = readIfPresent(replicaFile)
  if (followed === undefined) throw new Fatal('cluster-reset: etcd datastore disabled')
  return JSON.parse(followed) as Objects
}

async function snapshotObjects(path: string, options: Options): Promise<Objects> {
  const text = readIfPresent(path)
  if (text === undefined) throw new Fatal(`etcd: snapshot path does not exist: ${path}`)
  const objects = JSON.parse(text) as Objects
  const scratch = join(dbDir, `restore-${hostname()}.json`)
  writeState(scratch, objects)
  try {
    // A token that is not given is the one of the last start.
    const token = tokenOf(options, 'token')
    if (token !== undefined) await openBootstrap(new LocalStore(scratch), passwordOf(token))
  } finally {
    rmSync(scratch, { force: true })
  }
  return objects
}

async function isTaken(port: number): Promise<boolean> {
  return await new Promise(resolve => {
    const socket = connect(port, '127.0.0.1')
    const say = (taken: boolean) => () => {
      socket.destroy()
      resolve(taken)
    }
    socket.once('connect', say(true)).once('error', say(false))
  })
}
