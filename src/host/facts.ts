import type { Context } from '../core/context.ts'
import { CloudimgError } from '../core/error.ts'
import { normalisePlatform, type Platform } from '../core/platform.ts'
import { factsScript } from './facts-script.ts'
import type { ReadonlyHost } from './host.ts'
import { expectZero } from './posix-host.ts'

export interface HostInterface {
  readonly name: string
  /** Without prefix length; link-local addresses are left out. */
  readonly addresses: readonly string[]
}

export interface UnitFacts {
  readonly active: string
  readonly enabled: string
}

/** What one look at a machine tells. Plain data: plans and judgements are made from it, and tests write it down. */
export interface HostFacts {
  readonly hostname: string
  readonly machineId: string
  readonly platform: Platform
  readonly kernel: string
  readonly init: 'systemd' | 'openrc' | 'unknown'
  readonly cgroup: { readonly version: 1 | 2; readonly controllers: readonly string[] }
  readonly cpus: number
  readonly memoryBytes: number
  /** Seconds since 1970, by the host's clock, and how far it was from ours. */
  readonly time: number
  readonly clockOffsetSeconds: number
  readonly interfaces: readonly HostInterface[]
  /** Lines of `ip route show default`, unreachable and blackhole ones included. */
  readonly defaultRoutes: readonly string[]
  /** Of `/etc/resolv.conf` and of systemd's own. */
  readonly nameservers: readonly string[]
  readonly disks: readonly DiskFacts[]
  /** As `stat -f` names what `/var/lib/rancher` lies on, or will; empty where it does not tell. */
  readonly dataFileSystem: string
  readonly listeningTcp: readonly number[]
  readonly boundUdp: readonly number[]
  /** Of the modules that k3s needs: those that are neither loaded nor there to be. */
  readonly missingModules: readonly string[]
  /** As `iptables --version` prints it; empty where there is none. */
  readonly iptables: string
  /** Programs of the base system that deploying needs and that are missing. */
  readonly missingTools: readonly string[]
  /** What files could be passed on with, from host to host; the better one first. */
  readonly http: { readonly clients: readonly HttpClient[]; readonly servers: readonly HttpServer[] }
  readonly selinux: { readonly mode: string; readonly k3sPolicy: boolean }
  readonly apparmorWithoutParser: boolean
  readonly activeServices: readonly string[]
  readonly k3s: K3sFacts
  readonly cloudimg: CloudimgFacts
  /** Where the connection arrived; absent on this machine. */
  readonly arrivedAt?: string
}

export type HttpClient = 'curl' | 'wget'
export type HttpServer = 'busybox' | 'python3'

export interface DiskFacts {
  readonly path: string
  readonly freeBytes: number
  readonly freeInodes: number | undefined
  readonly noexec: boolean
}

/** What is there of k3s, whoever put it there. */
export interface K3sFacts {
  readonly units: Readonly<Record<'k3s' | 'k3s-agent', UnitFacts>>
  /** Second word of `k3s --version`; undefined without a binary that answers. */
  readonly version: string | undefined
  readonly standIn: boolean
  /** `/etc/rancher/k3s/config.yaml` with every token's value replaced by `(hidden)`. */
  readonly config: string | undefined
  /** `/etc/rancher/k3s/registries.yaml` with every password replaced by `(hidden)`. */
  readonly registries: string | undefined
  /** The registry that cloudimg runs on servers. */
  readonly registryUnit: UnitFacts
  /** Top-level keys in `config.yaml.d`, as `file: key`. */
  readonly dropIns: readonly string[]
  readonly dataPresent: boolean
  /** Names of the directories that hold local-path volumes. */
  readonly volumes: readonly string[]
}

/** What cloudimg left on the host. */
export interface CloudimgFacts {
  /** The text of node.json. */
  readonly node: string | undefined
  readonly lock: string | undefined
  /** The rootfs that it ran before it was upgraded; empty where there is none. */
  readonly previous: string
  /** The first line of the newest operation's journal, where that operation has not ended. */
  readonly operation: string | undefined
  /** Names of the hooks that it keeps for later. */
  readonly hooks: readonly string[]
  /** Directories below `/var/lib/cloudimg/rootfs` that `stage` has verified. */
  readonly staged: readonly string[]
  /** Files of verified directories by sha256: what need not be sent again. */
  readonly files: Readonly<Record<string, string>>
}

/** Looks at a host once, with one script. `now` tells our time, in milliseconds since 1970. @throws HOST_UNSUITABLE when it is no Linux machine of a known kind. */
export async function gatherFacts(host: ReadonlyHost, now: () => number, ctx: Context): Promise<HostFacts> {
  const argv = ['sh', '-c', factsScript, 'facts']
  const before = now()
  const result = expectZero(host.name, argv, await host.look(argv, ctx))
  const middle = (before + now()) / 2000
  const facts = parseFacts(result.stdout, host.name, middle)
  return host.arrivedAt === undefined || host.arrivedAt === '' ? facts : { ...facts, arrivedAt: host.arrivedAt }
}

/** The inverse of the script: lines `key=value`, repeated where there are several. `now` is our clock, in seconds. */
export function parseFacts(text: string, host: string, now: number): HostFacts {
  const lines = groupLines(text)
  const all = (key: string): readonly string[] => lines.get(key) ?? []
  const one = (key: string): string => all(key)[0] ?? ''
  const time = Number(one('time'))
  return {
    hostname: one('hostname'),
    machineId: one('machine-id'),
    platform: platformOf(one('system'), one('machine'), host),
    kernel: one('kernel'),
    init: initOf(one('init')),
    cgroup: { version: one('cgroup') === '2' ? 2 : 1, controllers: words(one('controllers')) },
    cpus: Number(one('cpus')) || 1,
    memoryBytes: Number(one('memory-kib')) * 1024,
    time,
    clockOffsetSeconds: Math.round(time - now),
    interfaces: parseInterfaces(all('address')),
    defaultRoutes: all('route').filter(line => line !== ''),
    nameservers: all('nameserver'),
    disks: all('disk').map(parseDisk),
    dataFileSystem: one('data-fs'),
    listeningTcp: parseListening(all('tcp')),
    boundUdp: parseListening(all('udp')),
    missingModules: all('module'),
    iptables: one('iptables'),
    missingTools: all('missing'),
    http: {
      clients: all('http-client').filter(name => name === 'curl' || name === 'wget'),
      servers: all('http-server').filter(name => name === 'busybox' || name === 'python3'),
    },
    selinux: { mode: one('selinux') || 'Disabled', k3sPolicy: one('selinux-k3s') === 'yes' },
    apparmorWithoutParser: one('apparmor') === 'no-parser',
    activeServices: all('service'),
    k3s: parseK3s(all, one),
    cloudimg: {
      node: joined(all('node')),
      lock: joined(all('lock')),
      previous: one('previous'),
      operation: joined(all('operation')),
      hooks: all('hook'),
      staged: all('staged'),
      files: Object.fromEntries(all('sum').map(parseSum)),
    },
  }
}

function groupLines(text: string): ReadonlyMap<string, readonly string[]> {
  const groups = new Map<string, string[]>()
  for (const line of text.split('\n')) {
    const equals = line.indexOf('=')
    if (equals < 0) continue
    const key = line.slice(0, equals)
    const group = groups.get(key) ?? []
    group.push(line.slice(equals + 1))
    groups.set(key, group)
  }
  return groups
}

function words(text: string): readonly string[] {
  return text.split(/\s+/).filter(word => word !== '')
}

function joined(lines: readonly string[]): string | undefined {
  return lines.length === 0 ? undefined : `${lines.join('\n')}\n`
}

function platformOf(system: string, machine: string, host: string): Platform {
  const platform = normalisePlatform({
    os: system.toLowerCase(),
    architecture: machine,
    ...(machine.startsWith('armv6') ? { variant: 'v6' } : {}),
  })
  if (platform !== undefined) return platform
  throw new CloudimgError(
    'HOST_UNSUITABLE',
    `looking at "${host}": a ${system} ${machine} machine is none that cloudimg knows`,
    {
      hint: 'use Linux machines with an amd64, arm64 or arm processor',
      data: { host },
    },
  )
}

function initOf(text: string): HostFacts['init'] {
  return text === 'systemd' || text === 'openrc' ? text : 'unknown'
}

function parseInterfaces(lines: readonly string[]): readonly HostInterface[] {
  const byName = new Map<string, string[]>()
  for (const line of lines) {
    const [name, address] = line.split(' ')
    if (name === undefined || address === undefined) continue
    const bare = address.replace(/\/.*$/, '')
    if (/^fe80:/i.test(bare) || bare.startsWith('169.254.')) continue
    byName.set(name, [...(byName.get(name) ?? []), bare])
  }
  return [...byName].map(([name, addresses]) => ({ name, addresses }))
}

// "PATH FREE_KIB FREE_INODES OPTIONS"; some file systems count no inodes and say "-" or 0 of 0.
function parseDisk(line: string): DiskFacts {
  const [path = '', free = '0', inodes = '-', options = ''] = line.split(' ')
  return {
    path,
    freeBytes: Number(free) * 1024,
    freeInodes: /^\d+$/.test(inodes) ? Number(inodes) : undefined,
    noexec: options.split(',').includes('noexec'),
  }
}

// Local addresses of /proc/net/{tcp,udp}{,6}, with a hexadecimal port.
function parseListening(lines: readonly string[]): readonly number[] {
  const ports = lines.map(line => Number.parseInt(line.split(':').at(-1) ?? '', 16)).filter(port => port > 0)
  return [...new Set(ports)].sort((a, b) => a - b)
}

function parseUnit(line: string): UnitFacts {
  const [active = '', enabled = ''] = line.split(' ')
  return { active: active || 'unknown', enabled: enabled || 'unknown' }
}

function parseK3s(all: (key: string) => readonly string[], one: (key: string) => string): K3sFacts {
  const said = all('k3s-version')
  return {
    units: { k3s: parseUnit(one('unit-k3s')), 'k3s-agent': parseUnit(one('unit-k3s-agent')) },
    version: /^k3s version (\S+)/.exec(said[0] ?? '')?.[1],
    standIn: said.slice(1).some(line => /stand-in/i.test(line)),
    config: joined(all('k3s-config')),
    registries: joined(all('k3s-registries')),
    registryUnit: parseUnit(one('unit-registry')),
    dropIns: all('k3s-drop-in'),
    dataPresent: one('k3s-data') === 'yes',
    volumes: all('k3s-volume'),
  }
}

function parseSum(line: string): [string, string] {
  return [`sha256:${line.slice(0, 64)}`, line.slice(66)]
}
