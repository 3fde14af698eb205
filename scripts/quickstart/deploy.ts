import { ensureRootTree } from '../lab/root-tree.ts'
import { startLab } from '../../test/support/lab.ts'

export interface DeployTools {
  readonly standIn: boolean
  readonly cloudimg: (args: readonly string[]) => Promise<string>
}

/** One systemd host from kernel namespaces, without any route out, made for this and gone afterwards. */
export async function deployOnLabHost(reference: string, { standIn, cloudimg }: DeployTools): Promise<void> {
  if (process.getuid?.() !== 0) throw new Error('making a host needs root: run npm run quickstart -- --deploy as root')
  const ctx = { signal: AbortSignal.timeout(10 * 60_000), events: () => {} }
  await ensureRootTree(text => console.log(text), ctx)
  await using lab = await startLab(['node1'])
  const host = lab.host('node1')
  console.log(`node1 is up at ${host.ip}; its routes:\n${(await host.must('ip route')).trimEnd()}`)
  const target = [
    '--servers',
    `root@${host.ip}`,
    '-F',
    host.ssh.configFile,
    '--fix',
    'default-route',
    ...(standIn ? ['--allow-stand-in'] : []),
  ]
  await cloudimg(['run', reference, ...target])
  console.log('\nThe same command again changes nothing:')
  await cloudimg(['run', reference, ...target])
  console.log(`\non node1: k3s kubectl get nodes -o wide${standIn ? ' (stand-in)' : ''}`)
  console.log(await host.must('/usr/local/bin/k3s kubectl get nodes -o wide'))
}
