import { planCluster } from '../../src/deploy/actions/run.ts'
import { formatPlan } from '../../src/deploy/plan-text.ts'
import { realEnds } from '../../src/deploy/ends.ts'
import { openDeployImage } from '../../src/deploy/store-image.ts'
import type { Host } from '../../src/host/host.ts'
import { factsScript } from '../../src/host/facts-script.ts'
import { parseReference } from '../../src/core/reference.ts'
import { openStore } from '../../src/oci/store/store.ts'

// Addresses that exist nowhere (RFC 5737): these hosts are told of, not connected to.
const hosts = { server: '192.0.2.11', agents: ['192.0.2.12', '192.0.2.13'] }

/** The plan that `cloudimg run --dry-run` would print for three fresh Debian machines without a way out. */
export async function planExample(home: string, reference: string, allowStandIn: boolean): Promise<string> {
  const store = await openStore(home)
  const ctx = { signal: new AbortController().signal, events: () => {} }
  const ref = parseReference(reference)
  const descriptor = await store.resolve(reference, ctx)
  const image = await openDeployImage(store, ref, descriptor!, ctx)
  const { plan, pending } = await planCluster(
    {
      image,
      hosts: { servers: [hosts.server], agents: hosts.agents },
      wishes: { allowStandIn },
      fixes: ['default-route'],
      stateHome: home,
    },
    ctx,
    { ...realEnds, connect: async address => describedHost(address.name) },
  )
  return formatPlan(plan, pending)
}

/** A host that answers the one look of a deployment, has nothing on it yet, and cannot be changed. */
function describedHost(address: string): Host {
  const refuse = (): never => {
    throw new Error('an example host cannot be changed')
  }
  return {
    name: address,
    look: async argv => ({
      code: argv.includes(factsScript) ? 0 : 1,
      stdout: argv.includes(factsScript) ? facts(address) : '',
      stderr: '',
    }),
    stat: async paths => paths.map(() => undefined),
    read: async () => undefined,
    exec: refuse,
    upload: refuse,
    unpack: refuse,
    close: async () => {},
  }
}

function facts(address: string): string {
  const number = address.split('.').at(-1)!
  return [
    'system=Linux',
    'machine=x86_64',
    'kernel=6.1.0-31-amd64',
    `hostname=node${number}`,
    `machine-id=${number.padStart(32, '0')}`,
    'init=systemd',
    `time=${Math.floor(Date.now() / 1000)}`,
    'cpus=4',
    'memory-kib=8388608',
    'cgroup=2',
    'controllers=cpuset cpu io memory pids',
    `address=eth0 ${address}/24`,
    'nameserver=192.0.2.1',
    ...['/var/lib/cloudimg', '/var/lib/rancher', '/usr/local/bin'].map(
      path => `disk=${path} 52428800 3276800 rw,relatime`,
    ),
    'unit-k3s=inactive ',
    'unit-k3s-agent=inactive ',
    '',
  ].join('\n')
}
