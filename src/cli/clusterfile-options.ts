import { dirname, resolve } from 'node:path'
import { MiB } from '../core/bytes.ts'
import { CloudimgError } from '../core/error.ts'
import type { ApplyOptions } from '../deploy/actions/apply.ts'
import { declaredCluster, type DeclaredSsh } from '../deploy/clusterfile/declared-cluster.ts'
import { declaredImage } from '../deploy/clusterfile/declared-image.ts'
import { parseClusterfile } from '../deploy/clusterfile/parse-clusterfile.ts'
import type { Clusterfile } from '../deploy/clusterfile/schema.ts'
import { readFileIfPresent } from '../io/files.ts'
import { imageOf, type NodeFlags, nodeOptions } from './commands/run.ts'
import type { RegistryFlags } from './registry-options.ts'
import type { Session } from './session.ts'

export interface DeclaredOptions {
  readonly options: ApplyOptions
  readonly ssh: DeclaredSsh
}

/**
 * A Clusterfile and the flags beside it as options of an action; where both say something, the flag counts. A reference
 * stands for the image that the file names.
 * @throws InvalidFileError (CLUSTERFILE_INVALID), USAGE, UNSUPPORTED
 */
export async function declaredOptions(
  session: Session,
  path: string,
  flags: NodeFlags,
  reference?: string,
): Promise<DeclaredOptions> {
  if ((flags.servers?.length ?? 0) + (flags.agents?.length ?? 0) > 0)
    throw new CloudimgError('USAGE', `reading --servers and --agents: the hosts are those of "${path}"`, {
      hint: 'write them into the file, or leave -f out',
    })
  const file = await readClusterfile(session, path)
  const { spec } = file
  const directory = dirname(path)
  const { ssh, marks, hosts, cluster } = declaredCluster(file, { directory, env: session.terminal.env })
  const { datastoreEndpointFile: beside } = spec
  const endpoint = beside === undefined ? {} : { datastoreEndpointFile: resolve(directory, beside) }
  const registry = flags.registry === undefined ? registryFlags(spec, directory) : {}
  const given = await nodeOptions(session, { ...endpoint, ...registry, ...flags })
  const image = declaredImage(await imageOf(session, reference ?? spec.image, flags), spec)
  const nodeIps = { ...cluster.nodeIps, ...given.cluster?.nodeIps }
  const options = {
    ...given,
    image,
    marks,
    ...(hosts && { hosts }),
    cluster: { ...cluster, ...given.cluster, nodeIps },
  }
  return { ssh, options }
}

function registryFlags(
  { registry, registryLogin, registryCaFile }: Clusterfile['spec'],
  directory: string,
): RegistryFlags {
  const { username, passwordEnv } = registryLogin ?? {}
  return {
    ...(registry === undefined ? {} : { registry }),
    ...(username === undefined ? {} : { registryUsername: username }),
    ...(passwordEnv === undefined ? {} : { registryPasswordEnv: passwordEnv }),
    ...(registryCaFile === undefined ? {} : { registryCa: resolve(directory, registryCaFile) }),
  }
}

/** What a file of sealer says in vain is said again, as warnings. @throws InvalidFileError; USAGE where there is no such file */
async function readClusterfile(session: Session, path: string): Promise<Clusterfile> {
  const text = (await readFileIfPresent(path, 4 * MiB))?.toString('utf8')
  if (text === undefined)
    throw new CloudimgError('USAGE', `reading "${path}": no such file`, {
      hint: 'cloudimg gen REF --servers HOST writes one',
    })
  const { file, warnings } = parseClusterfile(text, path)
  for (const { rule, message, span, hint } of warnings) {
    const place = `${path}:${span.start.line}:${span.start.column}`
    session.ctx.events({
      kind: 'warning',
      code: rule,
      message: `${place}: ${message}`,
      ...(hint === undefined ? {} : { hint }),
    })
  }
  return file
}
