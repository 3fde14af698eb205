import { describe, expect, it } from 'vitest'
import { run } from '../../../src/io/exec.ts'
import { parseFacts } from '../../../src/host/facts.ts'
import { factsScript } from '../../../src/host/facts-script.ts'
import { testContext } from '../../support/test-context.ts'

const base = ['system=Linux', 'machine=x86_64', 'init=systemd', 'hostname=n1', 'time=1000']

function facts(...lines: readonly string[]): ReturnType<typeof parseFacts> {
  return parseFacts([...base, ...lines].join('\n'), 'h', 990)
}

describe('parseFacts', () => {
  it.each([
    ['x86_64', { os: 'linux', arch: 'amd64' }],
    ['aarch64', { os: 'linux', arch: 'arm64' }],
    ['armv7l', { os: 'linux', arch: 'arm', variant: 'v7' }],
  ])('platform of %s', (machine, platform) =>
    expect(parseFacts(`system=Linux\nmachine=${machine}`, 'h', 0).platform).toEqual(platform),
  )

  it('refuses a machine of an unknown kind', () => {
    expect(() => parseFacts('system=Darwin\nmachine=riscv64', 'h', 0)).toThrow(
      'looking at "h": a Darwin riscv64 machine',
    )
  })

  it('takes interfaces by name, without link-local addresses', () => {
    const { interfaces } = facts(
      'address=eth0 10.0.0.1/24',
      'address=eth0 fd00::1/64',
      'address=eth0 fe80::1/64',
      'address=eth1 169.254.1.1/16',
    )
    expect(interfaces).toEqual([{ name: 'eth0', addresses: ['10.0.0.1', 'fd00::1'] }])
  })

  it('reads disks; some file systems count no inodes', () => {
    const { disks } = facts('disk=/var/lib/rancher 1024 5000 rw,noexec', 'disk=/usr/local/bin 10 - rw')
    expect(disks).toEqual([
      { path: '/var/lib/rancher', freeBytes: 1048576, freeInodes: 5000, noexec: true },
      { path: '/usr/local/bin', freeBytes: 10240, freeInodes: undefined, noexec: false },
    ])
  })

  it('reads listening ports from /proc/net/tcp, both families, each once', () => {
    expect(
      facts('tcp=00000000:192B', 'tcp=00000000000000000000000000000000:192B', 'tcp=0100007F:0016').listeningTcp,
    ).toEqual([22, 6443])
  })

  it('tells the clock from ours', () => expect(facts().clockOffsetSeconds).toBe(10))

  it('knows k3s, the stand-in, units and what cloudimg left', () => {
    const sum = `sum=${'a'.repeat(64)}  /var/lib/cloudimg/rootfs/x/bin/k3s`
    const { k3s, cloudimg } = facts(
      'unit-k3s=active enabled',
      'unit-k3s-agent=inactive ',
      'k3s-version=k3s version v1.31.4+k3s1 (abc)',
      'k3s-version=stand-in for tests',
      'k3s-config=token: (hidden)',
      'k3s-config=node-name: "n1"',
      'node={"v":1}',
      'previous=/var/lib/cloudimg/rootfs/w',
      'staged=/var/lib/cloudimg/rootfs/x',
      'hook=beforeReset',
      sum,
    )
    expect(k3s).toMatchObject({ version: 'v1.31.4+k3s1', standIn: true, config: 'token: (hidden)\nnode-name: "n1"\n' })
    expect(k3s.units).toEqual({
      k3s: { active: 'active', enabled: 'enabled' },
      'k3s-agent': { active: 'inactive', enabled: 'unknown' },
    })
    expect(cloudimg).toEqual({
      node: '{"v":1}\n',
      lock: undefined,
      previous: '/var/lib/cloudimg/rootfs/w',
      hooks: ['beforeReset'],
      staged: ['/var/lib/cloudimg/rootfs/x'],
      files: { [`sha256:${'a'.repeat(64)}`]: '/var/lib/cloudimg/rootfs/x/bin/k3s' },
    })
  })
})

describe('the facts script', () => {
  it('runs on this machine, and what it prints is understood', async () => {
    const result = await run(['sh', '-c', factsScript, 'facts'], {}, testContext())
    expect(result).toMatchObject({ code: 0, stderr: '' })
    const facts = parseFacts(result.stdout, 'here', Date.now() / 1000)
    expect(facts.memoryBytes).toBeGreaterThan(0)
    expect(facts.cpus).toBeGreaterThan(0)
    expect(facts.disks).toHaveLength(3)
    expect(Math.abs(facts.clockOffsetSeconds)).toBeLessThan(3)
  })
})
