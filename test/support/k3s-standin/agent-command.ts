import { Fatal, log } from './log.ts'
import { nodeAddress } from './network.ts'
import { startNode } from './node-agent.ts'
import { nodeNameOf, type NodeSelf } from './node-object.ts'
import { readOptions } from './options.ts'
import { profile, version } from './version.ts'
import { notifyReady } from './systemd.ts'
import { tokenOf } from './server-token.ts'

/** `k3s agent`: runs until it is stopped. @throws Fatal where k3s would end. */
export async function runAgent(argv: readonly string[]): Promise<void> {
  const options = readOptions('agent', argv)
  const token = tokenOf(options, 'token')
  if (token === undefined) throw new Fatal('--token is required')
  const server = options.one('server')
  if (server === undefined) throw new Fatal('--server is required')
  const address = nodeAddress(options, 'agent')
  log('info', `Starting k3s agent ${version} (standin0)`)
  const self: NodeSelf = { ...address, name: nodeNameOf(options), role: 'agent', options, etcd: undefined }
  await startNode({ server, token }, () => self)
  if (profile.agentNotifies) await notifyReady()
  await new Promise(() => {})
}
