import type { Context } from '../../core/context.ts'
import { hostPlatform } from '../../core/platform.ts'
import { reasonOf } from '../../core/error.ts'
import { BuildTree } from '../tree.ts'
import type { RunJob, RunSession } from './executor.ts'
import { skeletonOf } from './skeleton.ts'

const emptyTree = { tree: new BuildTree(), read: () => (async function* () {})() }

/** Runs a command of this machine on an empty tree and reads what it left; undefined where that works, else why not. */
export async function tryExecutor(open: () => Promise<RunSession>, ctx: Context): Promise<string | undefined> {
  try {
    const session = await open()
    try {
      return await tryRun(session, ctx)
    } finally {
      await session.close()
    }
  } catch (error) {
    ctx.signal.throwIfAborted()
    return reasonOf(error).replace(/\s+/g, ' ').slice(0, 300)
  }
}

async function tryRun(session: RunSession, ctx: Context): Promise<string | undefined> {
  const job: RunJob = {
    tree: emptyTree,
    skeleton: skeletonOf(emptyTree.tree, [], { isToolbox: true }),
    toolbox: { from: 'host' },
    mounts: [],
    argv: ['/bin/sh', '-c', ': >/rootfs/made'],
    env: { PATH: '/usr/bin:/bin' },
    workdir: '/rootfs',
    user: { uid: 0, gid: 0, groups: [0] },
    network: 'none',
    platform: hostPlatform(),
  }
  const said: string[] = []
  const end = await session.run(job, { onOutput: (_, text) => said.push(text) }, ctx)
  if (end.code !== 0) return `a command that makes a file ends with ${end.code}: ${said.join('').trim()}`
  const made = await end.readResult(async ({ tar }) => {
    const parts: Buffer[] = []
    for await (const part of tar) parts.push(part)
    return Buffer.concat(parts).includes('./made')
  })
  return made ? undefined : 'a file that a command made is not there afterwards'
}
