import type { Member } from './etcd.ts'
import { pause, strikes } from './faults.ts'
import { readIfPresent, writeWhole } from './files.ts'
import { Fatal, log } from './log.ts'
import type { Options } from './options.ts'
import type { Authorities } from './pki.ts'
import { profile } from './version.ts'
import { RemoteStore } from './remote-store.ts'
import { membershipFile } from './take-over.ts'
import { tokenOf } from './server-token.ts'
import type { Bootstrap } from './supervisor-api.ts'
import { callWithToken, fetchAuthority, type Call } from './tls-client.ts'

export interface Joined {
  readonly authorities: Authorities
  readonly agentPassword: string
  readonly store: RemoteStore
  isVoter(): boolean
}

/** What a joined server remembers; it is there once the server is a member. */
interface Membership {
  readonly leader: string
  readonly ca: string
  readonly token: string
  readonly authorities: Authorities
  readonly agentPassword: string
}

/** A member of an earlier start goes straight back to its cluster. */
export async function rejoinCluster(name: string): Promise<Joined | undefined> {
  const text = readIfPresent(membershipFile)
  if (text === undefined) return undefined
  const membership = JSON.parse(text) as Membership
  return await promote(membership, name)
}

/** Joins the servers behind `server` as a learner and becomes a voter. @throws Fatal where k3s would end. */
export async function joinCluster(
  server: string,
  options: Options,
  self: { readonly name: string; readonly address: string },
  critical: Readonly<Record<string, string>>,
): Promise<Joined> {
  const token = tokenOf(options, 'token')
  if (token === undefined) throw new Fatal('starting kubernetes: preparing server: token is required to join a cluster')
  const { ca, bootstrap } = await fetchBootstrap(server, token)
  compareCritical(bootstrap.critical, critical)
  if (bootstrap.leader === undefined)
    throw new Fatal('starting kubernetes: preparing server: etcd disabled: the first server keeps its data in SQLite')
  const { leader } = bootstrap
  await addLearner(leader, ca, token, self)
  if (strikes('killAtJoin')) process.kill(process.pid, 'SIGKILL')
  const { authorities, agentPassword } = bootstrap
  const membership: Membership = { leader, ca, token, authorities, agentPassword }
  writeWhole(membershipFile, JSON.stringify({ ...membership, address: self.address }))
  return await promote(membership, self.name)
}

async function fetchBootstrap(server: string, token: string): Promise<{ ca: string; bootstrap: Bootstrap }> {
  try {
    const ca = await fetchAuthority(server, token)
    const answer = await callWithToken(`${server}/v1-k3s/server-bootstrap`, ca, 'server', token)
    return { ca, bootstrap: JSON.parse(answer.text) as Bootstrap }
  } catch (error) {
    throw new Fatal(`starting kubernetes: preparing server: ${(error as Error).message}`)
  }
}

async function addLearner(
  leader: string,
  ca: string,
  token: string,
  self: { readonly name: string; readonly address: string },
): Promise<void> {
  for (;;) {
    const call: Call = { method: 'POST', body: self }
    const answer = await callWithToken(`${leader}/v1-k3s/standin/members`, ca, 'server', token, call)
    if (answer.status === 200) return
    const message = (JSON.parse(answer.text) as { readonly message: string }).message
    if (!message.includes('too many learner') || !profile.retriesLearner) throw new Fatal(`starting etcd: ${message}`)
    log('info', `Waiting for other members to finish joining etcd cluster: ${message}`)
    await pause(500)
  }
}

async function promote(membership: Membership, name: string): Promise<Joined> {
  const { leader, ca, token, authorities, agentPassword } = membership
  let isVoter = false
  const settle = async (): Promise<void> => {
    while (!isVoter) {
      try {
        const call: Call = { method: 'PUT', body: { name } }
        const answer = await callWithToken(`${leader}/v1-k3s/standin/members`, ca, 'server', token, call)
        const { members } = JSON.parse(answer.text) as { readonly members: readonly Member[] }
        isVoter = members.some(member => member.name === name && !member.isLearner)
      } catch (error) {
        log('warning', `etcd learner cannot be promoted yet: ${(error as Error).message}`)
        await pause(500)
      }
    }
  }
  void settle()
  const store = new RemoteStore({ url: leader, ca, token, member: name })
  return { authorities, agentPassword, store, isVoter: () => isVoter }
}

function compareCritical(theirs: Readonly<Record<string, string>>, ours: Readonly<Record<string, string>>): void {
  const differing = [...new Set([...Object.keys(theirs), ...Object.keys(ours)])].filter(
    key => theirs[key] !== ours[key],
  )
  if (differing.length > 0)
    throw new Fatal(
      `starting kubernetes: preparing server: critical configuration value mismatch: ${differing.join(', ')}`,
    )
}
