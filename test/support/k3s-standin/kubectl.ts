import { existsSync } from 'node:fs'
import { ApiError } from './api-error.ts'
import { KubeClient } from './kube-client.ts'
import { parseKubectlArgs, type KubectlArgs } from './kubectl-args.ts'
import { runApply, runDelete } from './kubectl-apply.ts'
import { runGet } from './kubectl-get.ts'
import { runCordon, runDrain, runLabel, runTaint } from './kubectl-node.ts'
import { runRollout, runWait } from './kubectl-wait.ts'
import { readKubeconfig } from './kubeconfig.ts'
import { Exit, reasonOf, unknownToStandIn } from './log.ts'
import { kubeconfigFile } from './paths.ts'
import { version } from './version.ts'

type Verb = (client: KubeClient, args: KubectlArgs) => Promise<void>

const verbs: Readonly<Record<string, Verb>> = {
  get: runGet,
  wait: runWait,
  rollout: runRollout,
  apply: async (client, args) => await runApply(client, args, 'apply'),
  create: async (client, args) => await runApply(client, args, 'create'),
  delete: runDelete,
  cordon: async (client, args) => await runCordon(client, args, true),
  uncordon: async (client, args) => await runCordon(client, args, false),
  drain: runDrain,
  label: async (client, args) => await runLabel(client, args, 'labels'),
  annotate: async (client, args) => await runLabel(client, args, 'annotations'),
  taint: runTaint,
  version: runVersion,
}

/** `k3s kubectl`: talks to the API server that the kubeconfig names, and to nothing else. */
export async function runKubectl(argv: readonly string[]): Promise<void> {
  const args = parseKubectlArgs(argv)
  const [verb = '', ...words] = args.words
  const run = verbs[verb]
  if (run === undefined) throw unknownToStandIn(`kubectl ${verb}`)
  if (verb === 'version' && args.has('client')) return printVersions(args, undefined)
  const { server, client } = connect(args)
  try {
    await run(client, { ...args, words })
  } catch (error) {
    throw exitOf(error, server)
  }
}

/** Without a kubeconfig kubectl tries localhost:8080, where nobody is: so it is on agents. */
function connect(args: KubectlArgs): { readonly server: string; readonly client: KubeClient } {
  const path = args.flag('kubeconfig') ?? process.env['KUBECONFIG'] ?? kubeconfigFile
  if (!existsSync(path)) throw refused('localhost:8080')
  const access = readKubeconfig(path)
  const server = args.flag('server') ?? access.server
  return { server, client: new KubeClient(server, access.trust) }
}

function refused(host: string): Exit {
  return new Exit(1, `The connection to the server ${host} was refused - did you specify the right host or port?`)
}

function exitOf(error: unknown, server: string): Error {
  if (error instanceof Exit) return error
  if (error instanceof ApiError) {
    if (error.code === 401) return new Exit(1, 'error: You must be logged in to the server (Unauthorized)')
    return new Exit(1, `Error from server (${error.reason}): ${error.message}`)
  }
  const { code } = error as NodeJS.ErrnoException
  if (code === 'ECONNREFUSED') return refused(new URL(server).host)
  return new Exit(1, `Unable to connect to the server: ${reasonOf(error)}`)
}

async function runVersion(client: KubeClient, args: KubectlArgs): Promise<void> {
  printVersions(args, JSON.parse(await client.raw('/version')) as { readonly gitVersion: string })
}

function printVersions(args: KubectlArgs, serverVersion: { readonly gitVersion: string } | undefined): void {
  const clientVersion = { gitVersion: version, goVersion: 'go1.22.9 stand-in' }
  if (args.flag('output') === 'json') {
    const versions = { clientVersion, ...(serverVersion === undefined ? {} : { serverVersion }) }
    return void process.stdout.write(`${JSON.stringify(versions, undefined, 2)}\n`)
  }
  process.stdout.write(`Client Version: ${version}\n`)
  if (serverVersion !== undefined) process.stdout.write(`Server Version: ${serverVersion.gitVersion}\n`)
}
