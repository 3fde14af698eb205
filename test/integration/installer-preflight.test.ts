import * as fs from 'node:fs'
import * as os from 'node:os'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Lab, type Sandbox } from '../support/installer-sandbox.ts'

// Each row spoils one thing of a suitable host. Sysfs, cgroups and AppArmor are shimmed files; mounts, ports and routes are real,
// in namespaces of their own.

const link = 'ip link add eth9 type bridge; ip addr add 10.0.0.2/24 dev eth9; ip link set eth9 up'
const route = `${link}; ip route add default via 10.0.0.254`
/** A program header that says: little-endian ELF for this machine number. */
const elf = (machine: number): string =>
  `\x7fELF\x02\x01\x01${'\0'.repeat(9)}\x02\0${String.fromCharCode(machine)}\0rest`
const other = os.arch() === 'arm64' ? 62 : 0x28

interface Row {
  readonly id: string
  readonly level: 'error' | 'warning'
  readonly what: string
  readonly spoil?: (host: Sandbox) => void
  readonly prepare?: string
  readonly argv?: readonly string[]
  readonly user?: 'nobody'
  /** Seconds by which the right time differs from this machine's. */
  readonly ahead?: number
}

const rows: readonly Row[] = [
  { id: 'root', level: 'error', what: 'a user', user: 'nobody' },
  { id: 'systemd', level: 'error', what: 'no systemd', spoil: host => host.remove('/run/systemd') },
  {
    id: 'architecture',
    level: 'error',
    what: 'a program for another machine',
    spoil: host => host.write('/rootfs/bin/k3s', elf(other)),
  },
  { id: 'default-route', level: 'error', what: 'no route', prepare: link },
  {
    id: 'default-route',
    level: 'warning',
    what: 'no route, but address and interface',
    prepare: link,
    argv: ['--node-ip', '10.0.0.2', '--iface', 'eth9'],
  },
  {
    id: 'default-route',
    level: 'warning',
    what: 'no route, to be fixed',
    prepare: link,
    argv: ['--fix', 'default-route'],
  },
  {
    id: 'default-route',
    level: 'error',
    what: 'an unreachable route',
    prepare: `${link}; ip route add unreachable default`,
  },
  { id: 'node-ip', level: 'error', what: 'an address of nobody', argv: ['--node-ip', '10.1.1.1'] },
  { id: 'iface', level: 'error', what: 'an interface of nobody', argv: ['--iface', 'eth7'] },
  {
    id: 'ports',
    level: 'error',
    what: 'a listener on 6443',
    prepare: 'busybox nc -l -p 6443 >/dev/null </dev/zero & sleep 0.3',
  },
  {
    id: 'ports',
    level: 'error',
    what: 'a listener on 10250',
    prepare: 'busybox nc -l -p 10250 >/dev/null </dev/zero & sleep 0.3',
    argv: ['--role', 'agent'],
  },
  {
    id: 'ports',
    level: 'warning',
    what: 'a listener on 443',
    prepare: 'busybox nc -l -p 443 >/dev/null </dev/zero & sleep 0.3',
  },
  {
    id: 'disk-space',
    level: 'error',
    what: 'a small disk',
    prepare: 'mount -t tmpfs -o size=200m tmpfs "$T/var/lib/rancher"',
  },
  {
    id: 'disk-space',
    level: 'warning',
    what: 'a disk with little room',
    prepare: 'mount -t tmpfs -o size=2g tmpfs "$T/var/lib/rancher"',
  },
  {
    id: 'inodes',
    level: 'error',
    what: 'few inodes',
    prepare: 'mount -t tmpfs -o size=6g,nr_inodes=1000 tmpfs "$T/var/lib/rancher"',
  },
  {
    id: 'noexec',
    level: 'error',
    what: 'a noexec data disk',
    prepare: 'mount -t tmpfs -o size=6g,noexec tmpfs "$T/var/lib/rancher"',
  },
  {
    id: 'noexec',
    level: 'error',
    what: 'a noexec parent',
    prepare: 'mount -t tmpfs -o size=6g,noexec tmpfs "$T/var/lib"',
  },
  {
    id: 'cgroup',
    level: 'error',
    what: 'no memory controller',
    prepare: 'echo "cpu cpuset pids" >"$T/shim/cgroup/cgroup.controllers"',
  },
  { id: 'hostname', level: 'error', what: 'localhost', prepare: 'echo localhost >/proc/sys/kernel/hostname' },
  { id: 'hostname', level: 'error', what: 'an underscore', argv: ['--node-name', 'node_1'] },
  {
    id: 'apparmor',
    level: 'error',
    what: 'AppArmor without its parser',
    prepare: 'mkdir -p "$T/sys/module/apparmor/parameters"; echo Y >"$T/sys/module/apparmor/parameters/enabled"',
  },
  {
    id: 'foreign-k3s',
    level: 'error',
    what: 'a k3s of someone else',
    spoil: host => host.write('/usr/local/bin/k3s', 'x', 0o755),
  },
  {
    id: 'other-kubernetes',
    level: 'error',
    what: 'a kubelet',
    spoil: host => host.write('/usr/lib/systemd/system/kubelet.service', '[Service]\n'),
  },
  { id: 'clock', level: 'error', what: 'an hour ago', ahead: -3600 },
  { id: 'clock', level: 'warning', what: 'twenty seconds ahead', ahead: 20 },
  {
    id: 'firewall',
    level: 'warning',
    what: 'firewalld',
    spoil: host => host.write('/run/shim/firewalld.service', 'active\n'),
  },
]

describe.each(['dash with GNU tools', 'busybox'] as const)('under %s, with a shimmed systemctl', userland => {
  let lab: Lab
  let host: Sandbox
  beforeAll(async () => {
    lab = await Lab.open(userland)
  })
  afterAll(() => {
    lab.close()
  })
  beforeEach(() => {
    host = lab.host()
    for (const dir of ['/rootfs/bin', '/var/lib/rancher', '/var/lib/cloudimg'])
      fs.mkdirSync(host.path(dir), { recursive: true })
    host.write('/rootfs/bin/k3s', '#!/bin/sh\n', 0o755)
  })
  const findings = (stderr: string): readonly (readonly [string, string])[] =>
    [...stderr.matchAll(/^finding (\S+) (error|warning) .+ \| .+$/gm)].map(([, id, level]) => [id ?? '', level ?? ''])

  it('finds nothing on a suitable host, and changes nothing', () => {
    const before = host.snapshot()
    const roomy = `${route}; mount -t tmpfs -o size=6g tmpfs "$T/var/lib/rancher"`
    const { status, answer, stderr } = host.run(
      ['preflight', '--rootfs', '/rootfs', '--now', String(Math.floor(Date.now() / 1000))],
      { prepare: roomy },
    )
    expect(findings(stderr)).toEqual([])
    expect([status, answer?.code, answer?.findings]).toEqual([0, 0, 0])
    expect(host.snapshot()).toEqual(before)
  })

  it.each(rows)('$id: $what is found ($level)', ({ id, level, spoil, prepare, argv, user, ahead }) => {
    const clock = ahead === undefined ? [] : ['--now', String(Math.floor(Date.now() / 1000) + ahead)]
    spoil?.(host)
    const before = host.snapshot()
    const network = prepare?.startsWith('ip ') === true ? '' : route
    const outcome = host.run(['preflight', '--rootfs', '/rootfs', ...clock, ...(argv ?? [])], {
      prepare: `${network}\n${prepare ?? ''}`,
      ...(user === undefined ? {} : { user }),
    })
    const found = findings(outcome.stderr)
    expect(found).toContainEqual([id, level])
    // The one thing that was spoilt is the only error. (A small test machine may truly have little room.)
    const errors = found.filter(([, is]) => is === 'error').map(([name]) => name)
    expect(errors).toEqual(level === 'error' ? [id] : [])
    expect(outcome.status).toBe(level === 'error' ? 3 : 0)
    expect(outcome.answer).toMatchObject({ code: outcome.status, changed: false })
    expect(host.snapshot()).toEqual(before)
  })

  it('judges no ports that its own k3s uses', () => {
    const rootfs = host.rootfs({ version: 'v1.31.4+k3s1' })
    host.write('/tmp/config.yaml', 'x: y\n')
    expect(host.run(['init', '--rootfs', rootfs, '--config', '/tmp/config.yaml', '--timeout', '20']).status).toBe(0)
    const { stderr } = host.run(['preflight'], {
      prepare: `${route}; busybox nc -l -p 6443 >/dev/null </dev/zero & sleep 0.3`,
    })
    expect(findings(stderr).filter(([, level]) => level === 'error')).toEqual([])
  })
})
