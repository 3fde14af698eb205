import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { etcdDir, type HandOver, membersFile } from './etcd.ts'
import { readIfPresent, writeWhole } from './files.ts'
import { writeState } from './local-store.ts'
import { log } from './log.ts'
import type { Leader } from './remote-store.ts'

export const membershipFile = join(etcdDir, 'membership.json')

/** The leader has left: this server leads from its next start on, which is now, or follows the one that does. */
export function takeOver({ leader, members, objects }: HandOver, before: Leader): Leader {
  const url = `https://${leader.address}:6443`
  if (leader.name === before.member) {
    log('info', 'elected leader: the former one has left the cluster')
    writeState(join(etcdDir, 'state.json'), objects)
    writeWhole(membersFile, JSON.stringify(members))
    rmSync(membershipFile, { force: true })
    // What is being answered is answered still.
    setTimeout(() => process.exit(1), 300)
    throw new Error('etcdserver: leader changed')
  }
  const membership = JSON.parse(readIfPresent(membershipFile) ?? '{}') as object
  writeWhole(membershipFile, JSON.stringify({ ...membership, leader: url }))
  return { ...before, url }
}
