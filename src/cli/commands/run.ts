import type { ActionResult, PlanResult } from '../../deploy/act.ts'
import { planCluster, runCluster } from '../../deploy/actions/run.ts'
import { formatPlan } from '../../deploy/plan-text.ts'
import { openDeployImage } from '../../deploy/store-image.ts'
import type { RunOptions } from '../../deploy/options.ts'
import { CloudimgError } from '../../core/error.ts'
import type { SshOptions } from '../../host/openssh.ts'
import { bringImage } from '../bring-image.ts'
import { askSecret } from '../secret-input.ts'
import type { Session } from '../session.ts'

export interface RunFlags {
  readonly servers?: readonly string[]
  readonly agents?: readonly string[]
  readonly nodeIp?: readonly string[]
  readonly tlsSan?: readonly string[]
  readonly fix?: readonly string[]
  readonly sshConfig?: string
  readonly identity?: string
  readonly acceptNewHostKeys?: boolean
  readonly askPassword?: boolean
  readonly askSudoPassword?: boolean
  readonly timeout?: number
  readonly concurrency?: number
  readonly allowStandIn?: boolean
  readonly dryRun?: boolean
  readonly exitCode?: boolean
  readonly pull?: boolean
}

/** `cloudimg run REF`: hosts become the cluster that the image holds, or are found to be one. */
export async function run(session: Session, reference: string, flags: RunFlags): Promise<number> {
  const store = await session.store()
  const { ref, descriptor } = await bringImage(session, reference, flags.pull === true)
  const image = await openDeployImage(store, ref, descriptor, session.ctx)
  const options: RunOptions = { image, ...(await hostOptions(session, flags)) }
  if (flags.dryRun === true) {
    const result = await planCluster(options, session.ctx)
    session.answer({ ...planObject(result) }, () => formatPlan(result.plan, result.pending))
    if (result.plan.findings.some(finding => finding.severity === 'error')) return 7
    return flags.exitCode === true && result.pending.length > 0 ? 9 : 0
  }
  const result = await runCluster(options, session.ctx)
  session.answer({ ok: true, code: 0, ...result }, () => describe(result))
  return 0
}

function planObject({ plan, pending }: PlanResult): object {
  return { ok: true, changed: false, code: 0, plan, pending }
}

async function hostOptions(session: Session, flags: RunFlags): Promise<Omit<RunOptions, 'image'>> {
  const servers = list(flags.servers)
  const agents = list(flags.agents)
  if (servers.length === 0 && agents.length > 0)
    throw new CloudimgError('USAGE', 'reading --agents: there is no server', { hint: 'name one with --servers' })
  const { timeout, concurrency } = flags
  return {
    ...(servers.length === 0 ? {} : { hosts: { servers, agents } }),
    ssh: await sshOptions(session, flags),
    cluster: {
      nodeIps: nodeIps(list(flags.nodeIp)),
      ...(flags.tlsSan === undefined ? {} : { tlsSans: list(flags.tlsSan) }),
    },
    wishes: { allowStandIn: flags.allowStandIn === true },
    fixes: list(flags.fix).map(knownFix),
    limits: {
      ...(timeout === undefined ? {} : { timeoutSeconds: timeout }),
      ...(concurrency === undefined ? {} : { concurrency }),
    },
  }
}

function list(values: readonly string[] | undefined): readonly string[] {
  return (values ?? [])
    .flatMap(value => value.split(','))
    .map(value => value.trim())
    .filter(value => value !== '')
}

function knownFix(name: string): 'default-route' {
  if (name === 'default-route') return name
  throw new CloudimgError('USAGE', `reading --fix "${name}": no such fix`, { hint: 'there is default-route' })
}

function nodeIps(pairs: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    pairs.map(pair => {
      const equals = pair.indexOf('=')
      if (equals <= 0)
        throw new CloudimgError('USAGE', `reading --node-ip "${pair}": no host`, { hint: 'write HOST=ADDRESS' })
      return [pair.slice(0, equals), pair.slice(equals + 1)]
    }),
  )
}

async function sshOptions({ terminal }: Session, flags: RunFlags): Promise<SshOptions> {
  const password =
    flags.askPassword === true ? await askSecret(terminal, 'ssh password', 'a key and --identity') : undefined
  const sudoPassword =
    flags.askSudoPassword === true
      ? await askSecret(terminal, 'sudo password', 'a user with passwordless sudo')
      : undefined
  return {
    ...(flags.sshConfig === undefined ? {} : { configFile: flags.sshConfig }),
    ...(flags.identity === undefined ? {} : { identityFile: flags.identity }),
    ...(flags.acceptNewHostKeys === true ? { acceptNewHostKeys: true } : {}),
    ...(password === undefined ? {} : { password }),
    ...(sudoPassword === undefined ? {} : { sudoPassword }),
  }
}

function describe(result: ActionResult): string {
  const hosts = result.hosts.map(
    host =>
      `  ${host.name.padEnd(20)} ${host.role.padEnd(7)} ${host.address.padEnd(16)} ${host.changed ? 'changed' : 'as it was'}`,
  )
  const head = result.changed
    ? `cluster ${result.cluster} is up`
    : `cluster ${result.cluster} is up, nothing was changed`
  return [
    `${head}${result.version === undefined ? '' : ` (${result.version})`}`,
    ...hosts,
    '',
    `next: kubectl --kubeconfig ${result.kubeconfig} get nodes`,
  ].join('\n')
}
