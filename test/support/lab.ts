import { readFileSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { findRootTree, labnodeScript, type RootTree } from '../../scripts/lab/root-tree.ts'
import { each } from '../../src/core/each.ts'
import type { RunResult } from '../../src/io/exec.ts'
import { attempt, eventually, must, type CommandOptions } from './command.ts'
import { claimSlot, releaseSlot, slotEnvironment, type LabSlot } from './lab-slot.ts'

export interface HostOptions {
  /** A default route, to a gateway that forwards nothing. Without it the host has no route out at all, which is the rule. */
  readonly defaultRoute?: boolean
  /** Puts /var/lib/rancher, kubelet and cloudimg on one small disk: its size as tmpfs takes it (`200m`). */
  readonly size?: string
  /** Number of inodes of that disk. */
  readonly inodes?: number
  /** Mount options of that disk: `noexec`, `ro`. */
  readonly mountOptions?: string
}

export interface HostSpec extends HostOptions {
  readonly name: string
}

/** How `ssh` gets in without asking. The users are root, `cloud` (sudo), `clerk` (sudo with `clerkPassword`) and `guest` (no sudo). */
export interface SshAccess {
  readonly identityFile: string
  readonly knownHosts: string
  /** For `ssh -F`: knows every host of the lab by name and by address. */
  readonly configFile: string
}

export interface LabHost {
  readonly name: string
  readonly ip: string
  readonly ssh: SshAccess
  /** Runs argv, or a `sh -e` script, as root on the host's console: needs neither network nor sshd. Any exit code is an answer. */
  exec(command: string | readonly string[], options?: CommandOptions): Promise<RunResult>
  /** As `exec`, but throws at any exit code but 0; returns stdout, trimmed. */
  must(command: string | readonly string[], options?: CommandOptions): Promise<string>
  /** Writes a file as root, directories included. */
  put(path: string, content: string | Uint8Array | Readable, mode?: string): Promise<void>
  /** A power cut: every process is gone at once, the disks stay. (Nothing unsynced is lost: the kernel lives on.) */
  off(): Promise<void>
  /** Boots it again and waits until it lets ssh in. */
  on(): Promise<void>
}

export interface Lab extends AsyncDisposable {
  readonly hosts: readonly LabHost[]
  readonly ssh: SshAccess
  /** @throws where the lab has no host of that name. */
  host(name: string): LabHost
  /** This machine's address on the hosts' network, where tests may listen for them. */
  readonly operatorIp: string
  /** Begins every name that the lab made on this machine: namespaces, interfaces, cgroups. */
  readonly prefix: string
  /** Where its state and disks are. */
  readonly home: string
}

/**
 * Boots systemd hosts with sshd that see each other and this machine, and nothing else; two seconds for five of them.
 * `await using lab = await startLab(2)`: they are gone at the end of the block, whatever happened.
 * @param hosts how many (`node1` …), or which.
 * @param defaults options of those hosts that say nothing themselves.
 */
export async function startLab(
  hosts: number | readonly (string | HostSpec)[],
  defaults: HostOptions = {},
): Promise<Lab> {
  if (process.getuid?.() !== 0) throw new Error('starting a lab: only root can make namespaces and mounts')
  const tree = await findRootTree()
  if (tree === undefined)
    throw new Error('starting a lab: its root tree is missing: run node scripts/test-parts.ts as root')
  const slot = await claimSlot()
  try {
    return await bootLab(slot, tree, specsOf(hosts, defaults))
  } catch (error) {
    await releaseSlot(slot)
    throw error
  }
}

function specsOf(hosts: number | readonly (string | HostSpec)[], defaults: HostOptions): readonly HostSpec[] {
  const named = typeof hosts === 'number' ? Array.from({ length: hosts }, (_, index) => `node${index + 1}`) : hosts
  return named.map(host => ({ ...defaults, ...(typeof host === 'string' ? { name: host } : host) }))
}

async function bootLab(slot: LabSlot, tree: RootTree, specs: readonly HostSpec[]): Promise<Lab> {
  const addressed = specs.map((spec, index) => ({ ...spec, ip: `${slot.net}.${11 + index}` }))
  const ssh = await writeSshAccess(slot, tree, addressed)
  const hosts = addressed.map(({ name, ip }) => labHost(slot, name, ip, ssh))
  await labnode(slot, ['network'])
  await each(addressed, addressed.length, async ({ name, ip, ...options }) => {
    await labnode(slot, ['up', name, ip, ...(options.defaultRoute === true ? ['route'] : [])], {
      LABNODE_ROOTFS: tree.path,
      SIZE: options.size ?? '',
      INODES: options.inodes === undefined ? '' : String(options.inodes),
      OPTS: options.mountOptions ?? '',
    })
  })
  await each(hosts, hosts.length, untilReady)
  return {
    hosts,
    ssh,
    host: name => {
      const found = hosts.find(host => host.name === name)
      if (found === undefined)
        throw new Error(`looking for host "${name}": the lab has ${specs.map(spec => spec.name).join(', ')}`)
      return found
    },
    operatorIp: `${slot.net}.1`,
    prefix: slot.prefix,
    home: slot.home,
    [Symbol.asyncDispose]: () => releaseSlot(slot),
  }
}

function labHost(slot: LabSlot, name: string, ip: string, ssh: SshAccess): LabHost {
  const enter = (command: string | readonly string[]): readonly string[] => [
    'nsenter',
    '-a',
    '-t',
    String(initPid(slot, name)),
    'env',
    '-i',
    ...consoleEnvironment,
    ...(typeof command === 'string' ? ['sh', '-ec', command] : command),
  ]
  const host: LabHost = {
    name,
    ip,
    ssh,
    exec: async (command, options) => await attempt(enter(command), options),
    must: async (command, options) => await must(enter(command), options),
    put: async (path, content, mode = '644') => {
      const script = 'mkdir -p "${1%/*}/" && cat > "$1" && chmod "$2" "$1"'
      await must(enter(['sh', '-ec', script, 'put', path, mode]), { input: content, timeoutMs: 300_000 })
    },
    off: async () => await labnode(slot, ['off', name]),
    on: async () => {
      await labnode(slot, ['on', name])
      await untilReady(host)
    },
  }
  return host
}

const consoleEnvironment = [
  'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  'HOME=/root',
  'LANG=C.UTF-8',
]

async function labnode(slot: LabSlot, args: readonly string[], env: Record<string, string> = {}): Promise<void> {
  await must([labnodeScript, ...args], { env: { ...slotEnvironment(slot), ...env } })
}

/** The host's systemd as this machine numbers it: the only child of the `unshare` that made its namespaces. */
function initPid(slot: LabSlot, name: string): number {
  const state = join(slot.home, 'ns', name)
  try {
    const unshare = readFileSync(join(state, 'pid'), 'utf8').trim()
    const child = readFileSync(`/proc/${unshare}/task/${unshare}/children`, 'utf8').trim()
    if (/^\d+$/.test(child)) return Number(child)
  } catch (error) {
    throw new Error(`entering host "${name}": it is off`, { cause: error })
  }
  throw new Error(`entering host "${name}": it did not start: ${readFileSync(join(state, 'log'), 'utf8')}`)
}

/** sshd greets, and the boot is over: before that, pam_nologin turns users away. */
async function untilReady(host: LabHost): Promise<void> {
  await eventually(`sshd on "${host.name}"`, 60_000, async () => await sshGreeting(host.ip))
  const state = (await host.exec(['systemctl', 'is-system-running', '--wait'])).stdout.trim()
  if (state === 'running') return
  const failed = await host.exec('systemctl --failed --no-legend --plain')
  throw new Error(`booting host "${host.name}": systemd is "${state}": ${failed.stdout}`)
}

async function sshGreeting(ip: string): Promise<string> {
  return await new Promise((resolve, reject) => {
    const socket = connect({ host: ip, port: 22, timeout: 1000 })
    socket.once('data', data => {
      socket.destroy()
      resolve(data.toString())
    })
    socket.once('timeout', () => socket.destroy(new Error('no greeting within a second')))
    socket.once('close', () => reject(new Error('closed before a greeting')))
    socket.once('error', reject)
  })
}

async function writeSshAccess(
  slot: LabSlot,
  tree: RootTree,
  hosts: readonly { name: string; ip: string }[],
): Promise<SshAccess> {
  const knownHosts = join(slot.home, 'known_hosts')
  const configFile = join(slot.home, 'ssh_config')
  await writeFile(knownHosts, hosts.map(({ name, ip }) => `${name},${ip} ${tree.hostKey}\n`).join(''))
  const common = [
    `IdentityFile ${tree.identityFile}`,
    'IdentitiesOnly yes',
    `UserKnownHostsFile ${knownHosts}`,
    'GlobalKnownHostsFile /dev/null',
    'StrictHostKeyChecking yes',
    'ConnectTimeout 10',
    'User root',
  ]
  const blocks = hosts.map(({ name, ip }) => [`Host ${name} ${ip}`, `HostName ${ip}`, ...common].join('\n  '))
  await writeFile(configFile, `${blocks.join('\n')}\n`)
  return { identityFile: tree.identityFile, knownHosts, configFile }
}

/** The argv that runs `command` on the host through the lab's ssh configuration. */
export function sshArgv(host: LabHost, command: readonly string[], user = 'root'): readonly string[] {
  return ['ssh', '-F', host.ssh.configFile, '-o', 'BatchMode=yes', '-l', user, host.name, ...command]
}

/**
 * Shows that nothing gets out of a host. Asks the kernel first: the ping is sent only where it can but end inside the lab.
 * Returns ping's own words (192.0.2.1 is TEST-NET-1, nobody's address).
 */
export async function pingOut(host: LabHost): Promise<string> {
  const gateway = `${host.ip.slice(0, host.ip.lastIndexOf('.'))}.254`
  const route = await host.exec(['ip', '-o', 'route', 'get', '192.0.2.1'])
  if (route.code === 0 && !route.stdout.includes(` via ${gateway} `)) {
    throw new Error(`looking for a way out of "${host.name}": there is one: ${route.stdout}`)
  }
  const ping = await host.exec(['ping', '-c1', '-W1', '192.0.2.1'])
  if (ping.code === 0) throw new Error(`pinging out of "${host.name}": somebody answers: ${ping.stdout}`)
  return `${ping.stdout}${ping.stderr}`.trim()
}

/** What the lab, or a lab that was here, has on this machine: mounts, namespaces, interfaces, cgroups, processes. */
export async function tracesOf(lab: Pick<Lab, 'prefix' | 'home'>): Promise<readonly string[]> {
  const mounts = (await readFile('/proc/mounts', 'utf8')).split('\n')
  const links = (await must(['ip', '-o', 'link'])).split('\n')
  const cgroups = (await must(['find', '/sys/fs/cgroup', '-name', `${lab.prefix}-*`])).split('\n')
  const namespaces = (await attempt(['ip', 'netns', 'list'])).stdout.split('\n')
  const processes = (await must(['ps', '-eo', 'pid,args'])).split('\n')
  const ours = (line: string): boolean => line.includes(`${lab.home}/`) || line.includes(lab.prefix)
  return [...mounts, ...links, ...cgroups, ...namespaces, ...processes].filter(ours)
}
