import { resolve } from 'node:path'
import { CloudimgError } from '../../core/error.ts'
import { formatClusterfile } from '../../deploy/clusterfile/format-clusterfile.ts'
import { generateClusterfile } from '../../deploy/clusterfile/generate-clusterfile.ts'
import { parseClusterfile } from '../../deploy/clusterfile/parse-clusterfile.ts'
import { writeFileAtomic } from '../../io/files.ts'
import { listOf, nodeIpsOf } from '../reach-options.ts'
import type { Session } from '../session.ts'

export interface GenFlags {
  readonly servers?: readonly string[]
  readonly agents?: readonly string[]
  readonly nodeIp?: readonly string[]
  readonly tlsSan?: readonly string[]
  readonly endpoint?: string
  readonly identity?: string
  readonly output?: string
}

/** `cloudimg gen REF`: a Clusterfile to begin with. Connects to nobody. */
export async function gen(session: Session, image: string, flags: GenFlags): Promise<void> {
  const { endpoint, identity, output, tlsSan } = flags
  const [servers, agents, nodeIps] = [listOf(flags.servers), listOf(flags.agents), nodeIpsOf(flags.nodeIp)]
  refuseStrangers(nodeIps, [...servers, ...agents])
  const file = generateClusterfile({
    image,
    servers,
    agents,
    nodeIps,
    ...(tlsSan === undefined ? {} : { tlsSans: listOf(tlsSan) }),
    ...(endpoint === undefined ? {} : { endpoint }),
    // The file may be written elsewhere, and paths in it begin where it is.
    ...(identity === undefined ? {} : { identityFile: resolve(identity) }),
  })
  const text = formatClusterfile(file)
  // What it makes it must take: a host that is none is told of now.
  parseClusterfile(text, output ?? 'the Clusterfile')
  if (output === undefined) return session.answer({ clusterfile: file }, text)
  await writeFileAtomic(output, text, 0o644)
  session.answer({ clusterfile: file, path: output }, `${output}\nnext: cloudimg apply -f ${output} --dry-run`)
}

function refuseStrangers(nodeIps: Readonly<Record<string, string>>, hosts: readonly string[]): void {
  const stranger = Object.keys(nodeIps).find(host => !hosts.includes(host))
  if (stranger === undefined) return
  throw new CloudimgError('USAGE', `reading --node-ip "${stranger}": no such host is named`, {
    hint: 'write it as --servers or --agents have it',
  })
}
