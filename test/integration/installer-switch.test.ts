import * as fs from 'node:fs'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Lab, architecture, type Sandbox } from '../support/installer-sandbox.ts'

// Upgrade, rollback, remove and reset, with shims of systemctl, k3s and upstream's scripts.

const first = { version: 'v1.31.4+k3s1', extra: { 'bin/old': 'goes away' } }
const second = { version: 'v1.31.5+k3s1', archive: `k3s-airgap-images-${architecture}.tar.gz` }
const images = '/var/lib/rancher/k3s/agent/images'

describe.each(['dash with GNU tools', 'busybox'] as const)('under %s, with a shimmed systemctl', userland => {
  let lab: Lab
  let fresh: Sandbox
  let host: Sandbox
  let rootfs: string
  let next: string
  beforeAll(async () => {
    lab = await Lab.open(userland)
    fresh = lab.host()
    rootfs = fresh.rootfs(first)
    fresh.write('/tmp/config.yaml', 'a: 1\n')
    const { status, stderr } = fresh.run([
      'init',
      '--rootfs',
      rootfs,
      '--config',
      '/tmp/config.yaml',
      '--cluster',
      'c1',
      '--timeout',
      '20',
    ])
    if (status !== 0) throw new Error(stderr)
    fresh.calls()
  })
  afterAll(() => {
    lab.close()
  })
  beforeEach(() => {
    host = lab.copy(fresh)
    next = host.rootfs(second)
  })
  const upgrade = (...more: readonly string[]): ReturnType<Sandbox['run']> =>
    host.run(['upgrade', '--rootfs', next, '--timeout', '20', ...more])
  const rollback = (): ReturnType<Sandbox['run']> => host.run(['rollback', '--timeout', '20'])
  const live = (): readonly string[] => [
    host.read('/usr/local/bin/k3s').match(/k3s version (\S+)/)?.[1] ?? '',
    ...fs.readdirSync(host.path(images)),
    host.read('/etc/rancher/k3s/config.yaml'),
  ]

  it('upgrades in place: archive, program, configuration, one restart without blocking', () => {
    host.write('/tmp/config.yaml', 'a: 2\n')
    expect(upgrade('--config', '/tmp/config.yaml').answer).toMatchObject({
      ok: true,
      changed: true,
      version: second.version,
      state: 'running',
    })
    expect(live()).toEqual([second.version, second.archive, 'a: 2\n'])
    expect(host.exists('/usr/local/bin/old')).toBe(false)
    expect(JSON.parse(host.read('/var/lib/cloudimg/node.json'))).toMatchObject({
      cluster: 'c1',
      role: 'server',
      version: second.version,
    })
    // The same install.sh came with both: it does not run again, so the unit is never gone.
    expect(host.calls().filter(call => /install|^systemctl (start|restart|stop|disable)/.test(call))).toEqual([
      'systemctl restart --no-block k3s.service',
    ])
    expect(fs.readlinkSync(host.path('/var/lib/cloudimg/current'))).toBe(next)
    expect(fs.readlinkSync(host.path('/var/lib/cloudimg/previous'))).toBe(rootfs)
    expect(upgrade('--config', '/tmp/config.yaml').answer).toMatchObject({ ok: true, changed: false })
  })

  it('runs install.sh when it is another one', () => {
    next = host.rootfs({ ...second, script: '2' })
    expect(upgrade().answer).toMatchObject({ ok: true })
    expect(host.calls()).toContain('install.sh server')
    expect(host.read('/etc/systemd/system/k3s.service')).toContain('revision 2')
  })

  it('does not take the old process for the new one', () => {
    host.write('/shim/active-state', 'activating')
    const { answer } = host.run(['upgrade', '--rootfs', next, '--timeout', '1'])
    expect(answer).toMatchObject({ code: 5, message: 'not ready after 1 s: the unit k3s is activating' })
    // Until the node is healthy the record names the old version, and nothing else may start from the mixture.
    expect(JSON.parse(host.read('/var/lib/cloudimg/node.json'))).toMatchObject({ version: first.version })
    expect(host.run(['init', '--rootfs', rootfs, '--config', '/tmp/config.yaml']).answer).toMatchObject({
      code: 3,
      changed: false,
    })
  })

  it('rolls back program, archive and configuration, once', () => {
    host.write('/tmp/registries.yaml', 'mirrors: {}\n')
    host.write('/tmp/config.yaml', 'a: 2\n')
    expect(upgrade('--config', '/tmp/config.yaml', '--registries', '/tmp/registries.yaml').status).toBe(0)
    expect(rollback().answer).toMatchObject({ ok: true, changed: true, version: first.version })
    expect(live()).toEqual([first.version, `k3s-airgap-images-${architecture}.tar.zst`, 'a: 1\n'])
    expect(host.exists('/etc/rancher/k3s/registries.yaml')).toBe(false)
    expect(host.exists('/usr/local/bin/old')).toBe(true)
    expect(fs.readlinkSync(host.path('/var/lib/cloudimg/current'))).toBe(rootfs)
    expect(rollback().answer).toMatchObject({ ok: true, changed: false })
  })

  it('rolls back only from the rootfs that is named', () => {
    const from = (name: string): ReturnType<Sandbox['run']> =>
      host.run(['rollback', '--only-from', name, '--timeout', '20'])
    expect(from(next).answer).toMatchObject({ ok: true, changed: false, version: first.version })
    expect(upgrade().status).toBe(0)
    expect(from('/var/lib/cloudimg/rootfs/other').answer).toMatchObject({ changed: false, version: second.version })
    expect(from(next).answer).toMatchObject({ ok: true, changed: true, version: first.version })
    expect(from(next).answer).toMatchObject({ ok: true, changed: false, version: first.version })
  })

  it('puts a configuration in place for the next start, and restarts nothing', () => {
    host.write('/tmp/config.yaml', 'a: 2\n')
    const configure = (): ReturnType<Sandbox['run']> => host.run(['configure', '--config', '/tmp/config.yaml'])
    expect(configure().answer).toMatchObject({ ok: true, changed: true, state: 'running' })
    expect(live()[2]).toBe('a: 2\n')
    expect(host.calls().filter(call => /^systemctl (start|restart|stop)/.test(call))).toEqual([])
    expect(host.read('/var/lib/cloudimg/owned')).toContain('/etc/rancher/k3s/config.yaml')
    expect(configure().answer).toMatchObject({ ok: true, changed: false })
    expect(host.run(['configure']).answer).toMatchObject({ code: 2, changed: false })
  })

  it('rolls back from an upgrade that never became healthy', () => {
    host.write('/shim/active-state', 'failed')
    host.write('/tmp/config.yaml', 'a: 2\n')
    expect(upgrade('--config', '/tmp/config.yaml').answer).toMatchObject({ ok: false, code: 1 })
    host.remove('/shim/active-state')
    expect(rollback().answer).toMatchObject({ ok: true, version: first.version })
    expect(live()).toEqual([first.version, `k3s-airgap-images-${architecture}.tar.zst`, 'a: 1\n'])
    expect(upgrade().answer).toMatchObject({ ok: true, version: second.version })
  })

  it('rolls back to the kept program when its rootfs is gone', () => {
    expect(upgrade().status).toBe(0)
    host.remove(rootfs)
    host.remove(`${rootfs}.staged`)
    expect(rollback().answer).toMatchObject({ ok: true, version: first.version })
  })

  it.each([
    ['upgrade', 3, 'this host is not a node yet'],
    ['rollback', 3, 'this host is not a node yet'],
  ])('refuses %s on a host that is no node', (verb, code, message) => {
    const empty = lab.host()
    expect(empty.run([verb, '--rootfs', empty.rootfs(first)]).answer).toMatchObject({ code, message, changed: false })
  })

  it('refuses a rollback to nothing', () => {
    expect(rollback().answer).toMatchObject({
      code: 3,
      message: 'this node has no previous rootfs to go back to',
      changed: false,
    })
  })

  it.each([true, false])('removes k3s, upstream’s script there: %s; a second time there is nothing to do', script => {
    if (!script) host.remove('/usr/local/bin/k3s-uninstall.sh')
    host.write('/etc/rancher/node/password', 'kept for a node that joins again')
    expect(host.run(['remove']).answer).toMatchObject({ ok: true, changed: true, state: 'staged' })
    const calls = host.calls()
    expect(calls.slice(0, 3)).toEqual([
      'systemctl daemon-reload',
      'systemctl disable k3s.service',
      'systemctl stop k3s.service',
    ])
    expect(calls.includes('k3s-uninstall.sh')).toBe(script)
    const gone = [
      '/usr/local/bin/k3s',
      '/usr/local/bin/kubectl',
      '/var/lib/rancher/k3s',
      '/etc/rancher/k3s',
      '/etc/systemd/system/k3s.service',
    ]
    const paths = Object.keys(host.snapshot())
    expect(gone.filter(path => paths.includes(path))).toEqual([])
    expect(host.exists('/etc/rancher/node/password')).toBe(true)
    expect(host.exists('/run/systemd/system/k3s.service.d')).toBe(false)
    expect(host.run(['remove']).answer).toMatchObject({ ok: true, changed: false })
    expect(
      host.run(['init', '--rootfs', rootfs, '--config', '/tmp/config.yaml', '--timeout', '20']).answer,
    ).toMatchObject({ ok: true, changed: true })
  })

  it('leaves nothing of its own after a reset, and what is not its own', () => {
    for (const left of [
      '/etc/rancher/node/password',
      '/var/log/pods/a/b',
      '/var/log/containers/c',
      '/var/lib/kubelet/x',
    ])
      host.write(left, 'x')
    host.write('/usr/local/bin/theirs', 'a program of someone else')
    host.write('/etc/cni/net.d/podman.conflist', '{}')
    expect(host.run(['reset']).answer).toMatchObject({ ok: true, changed: true, state: 'absent', version: '' })
    const files = Object.entries(host.snapshot()).filter(([, what]) => !what.startsWith('dir'))
    expect(files.map(([path]) => path)).toEqual([
      '/etc/cni/net.d/podman.conflist',
      '/etc/group',
      '/etc/passwd',
      '/usr/local/bin/theirs',
    ])
    expect(host.exists('/var/lib/cloudimg')).toBe(false)
    expect(host.run(['reset']).answer).toMatchObject({ ok: true, changed: false })
  })

  it('keeps the lock of the operation that resets until it is given back', () => {
    host.run(['lock', '--op', 'a', '--epoch', '1'])
    expect(host.run(['reset', '--op', 'a', '--epoch', '1']).answer).toMatchObject({ ok: true })
    expect(fs.readdirSync(host.path('/var/lib/cloudimg'))).toEqual(['lock'])
    expect(host.run(['unlock', '--op', 'a', '--epoch', '1']).answer).toMatchObject({ ok: true })
    expect(host.exists('/var/lib/cloudimg')).toBe(false)
  })

  it('takes the rules of k3s and of flannel out of iptables, with and without its chains, and no other', () => {
    const others = [
      '-A FORWARD -s 10.42.0.0/16 -p tcp -j DROP',
      '-A FORWARD -s 10.4.2.0/16 -j ACCEPT',
      '-A POSTROUTING -s 10.88.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE --random-fully',
    ]
    const bare = [
      '-A FORWARD -s 10.42.0.0/16 -j ACCEPT',
      '-A FORWARD -d 10.42.0.0/16 -j ACCEPT',
      '-A POSTROUTING -s 10.42.0.0/16 -d 10.42.0.0/16 -j RETURN',
      '-A POSTROUTING -s 10.42.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE --random-fully',
      '-A POSTROUTING ! -s 10.42.0.0/16 -d 10.42.0.0/24 -j RETURN',
      '-A POSTROUTING ! -s 10.42.0.0/16 -d 10.42.0.0/16 -j MASQUERADE',
    ]
    const named = [
      ':KUBE-SERVICES - [0:0]',
      ':FLANNEL-POSTRTG - [0:0]',
      '-A POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG',
      '-A INPUT -m comment --comment "CNI-x" -j CNI-x',
    ]
    host.write(
      '/run/flannel/subnet.env',
      'FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.0.1/24\nFLANNEL_MTU=1450\n',
    )
    host.write('/shim/rules', `*filter\n${[...bare, ...named, ...others].join('\n')}\nCOMMIT\n`)
    host.write('/shim/save', '#!/bin/sh\nexec cat /shim/rules\n', 0o755)
    host.write('/shim/restore', '#!/bin/sh\nexec cat >/shim/rules.new\n', 0o755)
    const fakes = ['cp -a "$B/bin" "$T/shim/bin"', 'cp "$T/shim/save" "$T/shim/bin/iptables-save"']
    fakes.push('cp "$T/shim/restore" "$T/shim/bin/iptables-restore"', 'mount --bind "$T/shim/bin" "$T/bin"')
    expect(host.run(['remove'], { prepare: fakes.join('\n') }).answer).toMatchObject({ ok: true, changed: true })
    expect(host.read('/shim/rules.new')).toBe(`*filter\n${others.join('\n')}\nCOMMIT\n`)
    expect(host.exists('/var/lib/cloudimg/networks')).toBe(false)
  })

  it('ends shims, unmounts pods and deletes links that an interrupted uninstall left', () => {
    host.remove('/usr/local/bin/k3s-uninstall.sh')
    const shim = '/var/lib/rancher/k3s/data/0123/bin/containerd-shim-runc-v2'
    const left = [
      // a process whose program is a shim of this k3s, and one that is not
      `mkdir -p "$T${shim.slice(0, shim.lastIndexOf('/'))}" "$T/var/lib/kubelet/pods/a b"; cp /bin/sleep "$T${shim}"; cp /bin/sleep "$T/var/other"`,
      `mkdir -p "$T/lib" "$T/lib64"; (exec chroot "$T" ${shim} 300) & (exec chroot "$T" /var/other 300) & sleep 0.3`,
      'mount -t tmpfs tmpfs "$T/var/lib/kubelet/pods/a b"',
      'ip link add cni0 type bridge; ip link add eth9 type bridge',
    ].join('\n')
    const { status, stderr } = host.run(['remove'], { prepare: left })
    expect(stderr).toMatch(new RegExp(`ending "${shim}" \\(process \\d+\\)`))
    expect(stderr).not.toContain('/var/other')
    expect(stderr).not.toContain('stays mounted')
    expect(status).toBe(0)
    expect(host.exists('/var/lib/kubelet')).toBe(false)
  })
})
