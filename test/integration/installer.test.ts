import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Lab, architecture, installer, type Sandbox } from '../support/installer-sandbox.ts'

// systemctl, k3s and upstream's install script are shims here; hosts with a real systemd are tested elsewhere.

const release = { version: 'v1.31.4+k3s1' }
const archive = `/var/lib/rancher/k3s/agent/images/k3s-airgap-images-${architecture}.tar.zst`

it('is clean under shellcheck', () => {
  const found = spawnSync('shellcheck', [installer], { encoding: 'utf8' })
  if (found.error !== undefined) throw new Error('shellcheck is missing: apt-get install shellcheck')
  expect(found.stdout).toBe('')
  expect(found.status).toBe(0)
})

it('evaluates no data and parses neither JSON nor YAML', () => {
  const text = fs.readFileSync(installer, 'utf8')
  expect(text).not.toMatch(/\b(eval|jq|yq|python3?|perl)\b/)
  // Everything that changes files for good ends in one of two places.
  expect(text.match(/^ *: write-point$/gm)).toHaveLength(2)
})

describe.each(['dash with GNU tools', 'busybox'] as const)('under %s, with a shimmed systemctl', userland => {
  let lab: Lab
  let host: Sandbox
  let rootfs: string
  beforeAll(async () => {
    lab = await Lab.open(userland)
  })
  afterAll(() => {
    lab.close()
  })
  beforeEach(() => {
    host = lab.host()
    rootfs = host.rootfs(release)
    host.write('/tmp/config.yaml', "node-ip: '10.0.0.1'\n")
  })
  const init = (...more: readonly string[]): readonly string[] => [
    'init',
    '--rootfs',
    rootfs,
    '--config',
    '/tmp/config.yaml',
    '--timeout',
    '20',
    ...more,
  ]

  describe('usage', () => {
    it.each([
      [[], 'a verb is missing'],
      [['instal'], 'there is no verb "instal"'],
      [['init', '--rotfs', '/x'], 'there is no option "--rotfs"'],
      [['init', '--rootfs'], '--rootfs needs a value'],
      [['init', '--rootfs', '/nowhere'], 'there is no directory "/nowhere"'],
      [['init', '--epoch', 'two'], '--epoch is no number: "two"'],
      [['init', '--op', '../../etc/passwd'], '--op may have letters'],
      [['init', '--role', 'master'], '--role is server or agent, not "master"'],
      [['init', '--digest', 'sha256:12'], '--digest is no sha256 digest'],
      [['fix', 'everything'], 'the one thing to fix is default-route'],
      [['init', 'extra'], 'there is no argument "extra" here'],
      [['init'], 'init needs the unpacked cluster image'],
      [['lock'], 'lock needs --op'],
    ])('refuses %j with code 2', (argv, message) => {
      const { status, answer } = host.run(argv)
      expect(status).toBe(2)
      expect(answer).toMatchObject({ v: 1, ok: false, changed: false, code: 2 })
      expect(answer?.message).toContain(message)
    })

    it('prints its help on stdout', () => {
      const { status, stdout } = host.run(['--help'])
      expect(status).toBe(0)
      expect(stdout).toContain('usage: cloudimg-node VERB')
    })

    it('refuses to change anything without root, with code 3', () => {
      const before = host.snapshot()
      const { answer } = host.run(['stage', '--rootfs', rootfs], { user: 'nobody' })
      expect(answer).toMatchObject({ code: 3, message: 'stage needs root', changed: false })
      expect(host.snapshot()).toEqual(before)
    })

    it('refuses a host without systemd, with code 3', () => {
      host.remove('/run/systemd')
      expect(host.run(init()).answer).toMatchObject({ code: 3, message: 'this host does not run systemd' })
    })
  })

  describe('stage', () => {
    it('verifies every listed file, and changes nothing the second time', () => {
      const { answer } = host.run(['stage', '--rootfs', rootfs])
      expect(answer).toMatchObject({ ok: true, changed: true, state: 'staged' })
      expect(host.read(`${rootfs}.staged`)).toBe(host.read(`${rootfs}.sums`))
      expect(host.run(['stage', '--rootfs', rootfs]).answer).toMatchObject({ ok: true, changed: false })
    })

    it.each([
      ['a changed file', 'bin/k3s', (path: string) => host.write(path, 'something else')],
      ['a missing file', 'images/k3s-images.txt', (path: string) => host.remove(path)],
    ])('names %s and exits 4', (_what, file, spoil) => {
      host.run(['stage', '--rootfs', rootfs])
      spoil(`${rootfs}/${file}`)
      const { status, answer } = host.run(['stage', '--rootfs', rootfs])
      expect(status).toBe(4)
      expect(answer?.message).toContain(file)
      expect(host.exists(`${rootfs}.staged`)).toBe(false)
    })

    it.each([
      'not a checksum line\n',
      `${'0'.repeat(64)}  ../../../etc/shadow\n`,
      `${'0'.repeat(64)}  /etc/shadow\n`,
      '',
    ])('refuses the list %j', list => {
      host.write(`${rootfs}.sums`, list)
      expect(host.run(['stage', '--rootfs', rootfs]).answer).toMatchObject({ code: 4, changed: false })
    })

    it('records the checksums when none were sent, and says so', () => {
      host.remove(`${rootfs}.sums`)
      const { answer } = host.run(['stage', '--rootfs', rootfs])
      expect(answer).toMatchObject({ ok: true, changed: true })
      expect(answer?.message).toContain('recorded the checksums of 6 files')
      expect(host.read(`${rootfs}.staged`)).toContain('  scripts/k3s-install.sh\n')
      host.write(`${rootfs}/bin/k3s`, 'something else')
      expect(host.run(['stage', '--rootfs', rootfs]).answer).toMatchObject({ code: 4 })
    })
  })

  describe('install', () => {
    it('places program, archive and other executables, nothing else, and starts nothing', () => {
      rootfs = host.rootfs({
        ...release,
        extra: { 'bin/helm': 'a program', 'images/k3s-airgap-images-riscv.tar': 'x', 'etc/rancher/k3s/x.yaml': 'x' },
      })
      const { answer } = host.run(['install', '--rootfs', rootfs])
      expect(answer).toMatchObject({ ok: true, changed: true, version: release.version, state: 'installed' })
      const placed = Object.entries(host.snapshot()).filter(
        ([path, what]) => what.startsWith('file') && !path.startsWith('/var/lib/cloudimg/'),
      )
      expect(placed.map(([path, what]) => `${path} ${what.split(' ')[1]}`)).toEqual([
        '/etc/group 644',
        '/etc/passwd 644',
        `${archive} 644`,
        '/usr/local/bin/helm 755',
        '/usr/local/bin/k3s 755',
      ])
      expect(host.read('/var/lib/cloudimg/owned')).toMatch(/^[0-9a-f]{64} {2}\/usr\/local\/bin\/helm$/m)
      expect(host.calls().filter(call => /start|install/.test(call))).toEqual([])
    })

    it('leaves equal files untouched', () => {
      host.run(['install', '--rootfs', rootfs])
      fs.utimesSync(host.path(archive), 1, 1)
      expect(host.run(['install', '--rootfs', rootfs]).answer).toMatchObject({ ok: true, changed: false })
      expect(fs.statSync(host.path(archive)).mtimeMs).toBe(1000)
    })

    it('gives a new archive the time of now and replaces it under a name that k3s ignores', () => {
      const torn = archive.replace(/([^/]+)$/, '.$1.cloudimg-new')
      host.write(torn, 'what an interrupted copy left')
      fs.utimesSync(host.path(`${rootfs}/images/${archive.split('/').at(-1)}`), 0, 0)
      host.run(['install', '--rootfs', rootfs])
      expect(Date.now() - fs.statSync(host.path(archive)).mtimeMs).toBeLessThan(60_000)
      expect(host.read(archive)).toBe(`archive of ${release.version}`)
      expect(host.exists(torn)).toBe(false)
    })

    it('verifies while it copies: a file that changed after stage is never placed', () => {
      host.run(['stage', '--rootfs', rootfs])
      host.write(`${rootfs}/bin/k3s`, '#!/bin/sh\necho evil\n', 0o755)
      const { answer } = host.run(['install', '--rootfs', rootfs])
      expect(answer).toMatchObject({ code: 4 })
      expect(answer?.message).toContain('/bin/k3s" is not what its list of checksums says')
      expect(host.exists('/usr/local/bin/k3s')).toBe(false)
    })

    it('keeps the program that was there for another rootfs', () => {
      host.run(['install', '--rootfs', rootfs])
      const next = host.rootfs({ version: 'v1.31.5+k3s1' })
      const { answer } = host.run(['install', '--rootfs', next])
      expect(answer).toMatchObject({ ok: true, changed: true, version: 'v1.31.5+k3s1' })
      expect(host.read(`/var/lib/cloudimg/backup/${rootfs.split('/').at(-1)}/k3s`)).toContain(release.version)
    })

    it('gives up on a full disk without a torn file, and succeeds when there is room', () => {
      const tight = 'mkdir -p "$T/var/lib/rancher"; mount -t tmpfs -o size=4k tmpfs "$T/var/lib/rancher"'
      const big = { ...release, extra: { [`images/k3s-airgap-images-${architecture}.tar`]: 'x'.repeat(100_000) } }
      rootfs = host.rootfs(big)
      const { answer } = host.run(['install', '--rootfs', rootfs], { prepare: tight })
      expect(answer).toMatchObject({ ok: false, code: 1 })
      expect(answer?.fix).toContain('make room')
      expect(host.exists('/usr/local/bin/k3s')).toBe(false)
      expect(host.run(['install', '--rootfs', rootfs]).answer).toMatchObject({ ok: true, changed: true })
    })

    it.each([
      ['a program', (): void => host.write('/usr/local/bin/k3s', 'another k3s', 0o755)],
      ['a program of the distribution', (): void => host.write('/usr/bin/k3s', 'another k3s', 0o755)],
      ['a unit', (): void => host.write('/etc/systemd/system/k3s-agent.service', '[Service]\n')],
      ['data', (): void => host.write('/var/lib/rancher/k3s/server/token', 'secret')],
    ])('leaves a stranger’s k3s alone: %s, code 6', (_what, plant) => {
      plant()
      const before = host.snapshot()
      for (const argv of [['install', '--rootfs', rootfs], init(), ['remove'], ['reset']]) {
        const { answer } = host.run(argv)
        expect(answer).toMatchObject({ ok: false, code: 6, changed: false, state: 'foreign' })
      }
      expect(host.snapshot()).toEqual(before)
    })
  })

  describe('init', () => {
    it('ends with a Ready server and its final files', () => {
      const { status, stdout, answer } = host.run(
        init('--cluster', 'c1', '--digest', `sha256:${'a'.repeat(64)}`, '--op', 'op1'),
      )
      expect(status).toBe(0)
      expect(stdout.trim().split('\n')).toHaveLength(1)
      expect(answer).toMatchObject({ v: 1, verb: 'init', ok: true, changed: true, code: 0, fix: '', state: 'running' })
      expect(host.read('/etc/rancher/k3s/config.yaml')).toBe("node-ip: '10.0.0.1'\n")
      expect(fs.statSync(host.path('/etc/rancher/k3s/config.yaml')).mode & 0o777).toBe(0o600)
      expect(JSON.parse(host.read('/var/lib/cloudimg/node.json'))).toMatchObject({
        cluster: 'c1',
        role: 'server',
        digest: `sha256:${'a'.repeat(64)}`,
        version: release.version,
      })
      expect(fs.readlinkSync(host.path('/var/lib/cloudimg/current'))).toBe(rootfs)
      const journal = host
        .read('/var/lib/cloudimg/journal/op1.jsonl')
        .trim()
        .split('\n')
        .map(line => JSON.parse(line) as { op: string; step: string; event: string })
      expect(journal.map(({ step }) => step)).toEqual(['start', 'install', 'config', 'unit', 'start', 'wait', 'wait'])
      expect(journal.at(-1)).toMatchObject({ op: 'op1', event: 'done' })
    })

    it('writes the configuration before upstream’s script runs, and never lets systemctl block', () => {
      host.write('/tmp/registries.yaml', 'mirrors: {}\n')
      host.run(init('--registries', '/tmp/registries.yaml'))
      expect(host.read('/etc/rancher/k3s/registries.yaml')).toBe('mirrors: {}\n')
      const calls = host.calls()
      expect(calls[0]).toBe('install.sh server')
      expect(calls.filter(call => /^systemctl (re)?start/.test(call))).toEqual([
        'systemctl start --no-block k3s.service',
      ])
    })

    it('runs upstream’s script in an environment of its own', () => {
      const env = { HTTPS_PROXY: 'http://dead:1', K3S_TOKEN: 'x', INSTALL_K3S_EXEC: 'agent --x', KUBECONFIG: '/x' }
      host.run(init(), { env })
      const names = host.read('/shim/install-environment').trim().split('\n')
      expect(names.filter(name => !/^(PATH|PWD|SHLVL|OLDPWD|_)=/.test(name))).toEqual([
        'HOME=/root',
        'INSTALL_K3S_BIN_DIR=/usr/local/bin',
        'INSTALL_K3S_EXEC=server',
        'INSTALL_K3S_SELINUX_WARN=true',
        'INSTALL_K3S_SKIP_DOWNLOAD=true',
        'INSTALL_K3S_SKIP_SELINUX_RPM=true',
        'INSTALL_K3S_SKIP_START=true',
        'LC_ALL=C',
      ])
    })

    it('changes and restarts nothing when run again', () => {
      host.run(init())
      host.calls()
      const before = host.snapshot()
      expect(host.run(init()).answer).toMatchObject({ ok: true, changed: false })
      expect(host.snapshot()).toEqual(before)
      expect(host.calls().filter(call => /install|start |enable |stop/.test(call))).toEqual([])
    })

    it('restarts without blocking when the configuration changed', () => {
      host.run(init())
      host.calls()
      host.write('/tmp/config.yaml', "node-ip: '10.0.0.2'\n")
      expect(host.run(init()).answer).toMatchObject({ ok: true, changed: true })
      expect(host.calls().filter(call => /install|start |enable /.test(call))).toEqual([
        'systemctl restart --no-block k3s.service',
      ])
    })

    it('starts what is stopped', () => {
      host.run(init())
      host.remove('/run/shim/k3s.service')
      host.calls()
      expect(host.run(init()).answer).toMatchObject({ ok: true, changed: true })
      expect(host.calls()).toContain('systemctl start --no-block k3s.service')
    })

    it('mends a unit that was changed or lost', () => {
      host.run(init())
      const unit = host.read('/etc/systemd/system/k3s.service')
      host.write('/etc/systemd/system/k3s.service', '')
      expect(host.run(init()).answer).toMatchObject({ ok: true, changed: true })
      expect(host.read('/etc/systemd/system/k3s.service')).toBe(unit)
    })

    it('makes a configuration and a token up once, by hand', () => {
      const link = 'ip link add eth9 type bridge; ip addr add 10.0.0.1/24 dev eth9; ip link set eth9 up'
      const argv = ['init', '--rootfs', rootfs, '--node-ip', '10.0.0.1', '--node-name', 'first', '--timeout', '20']
      const { answer } = host.run(argv, { prepare: link })
      expect(answer).toMatchObject({ ok: true, message: `server "first" is Ready, k3s ${release.version}` })
      expect(host.read('/etc/rancher/k3s/config.yaml').split('\n').slice(1)).toEqual([
        'token-file: /var/lib/cloudimg/token',
        "node-name: 'first'",
        "node-ip: '10.0.0.1'",
        "advertise-address: '10.0.0.1'",
        "flannel-iface: 'eth9'",
        '',
      ])
      expect(host.read('/var/lib/cloudimg/token')).toMatch(/^[0-9a-f]{64}$/)
      expect(host.run(argv, { prepare: link }).answer).toMatchObject({ ok: true, changed: false })
    })

    it('refuses an address that no interface carries', () => {
      const { answer } = host.run(['init', '--rootfs', rootfs, '--node-ip', '10.9.9.9'])
      expect(answer).toMatchObject({ code: 3, message: 'no interface carries 10.9.9.9' })
    })

    it('keeps a configuration that was found, and gives it back at reset', () => {
      host.write('/etc/rancher/k3s/config.yaml', 'from: a person\n', 0o640)
      host.run(init())
      expect(host.read('/etc/rancher/k3s/config.yaml')).toBe("node-ip: '10.0.0.1'\n")
      expect(host.run(['reset']).answer).toMatchObject({ ok: true, changed: true })
      expect(host.read('/etc/rancher/k3s/config.yaml')).toBe('from: a person\n')
      expect(fs.statSync(host.path('/etc/rancher/k3s/config.yaml')).mode & 0o777).toBe(0o640)
    })

    it('exits 5 at the deadline and says what it waited for; the same command then finishes', () => {
      host.write('/shim/node-status', 'NotReady')
      const { status, answer, stderr } = host.run([
        'init',
        '--rootfs',
        rootfs,
        '--config',
        '/tmp/config.yaml',
        '--timeout',
        '1',
      ])
      expect(status).toBe(5)
      expect(answer?.message).toBe('not ready after 1 s: node "node1" is NotReady')
      expect(stderr).toContain('shimmed journal of k3s.service')
      host.remove('/shim/node-status')
      expect(host.run(init()).answer).toMatchObject({ ok: true })
    })

    it('exits 1 with the journal when the unit failed', () => {
      host.write('/shim/active-state', 'failed')
      const { status, answer, stderr } = host.run(init())
      expect([status, answer?.message, answer?.state]).toEqual([1, 'the unit k3s failed', 'failed'])
      expect(stderr).toContain('shimmed journal of k3s.service')
    })

    it('exits 1 when k3s keeps restarting', () => {
      host.write('/shim/active-state', 'activating')
      host.write('/shim/flapping', '')
      const { status, answer } = host.run(init())
      expect([status, answer?.message]).toEqual([1, 'the unit k3s keeps failing and was restarted 5 times'])
    })

    it('refuses a second rootfs and another role', () => {
      host.run(init())
      const next = host.rootfs({ version: 'v1.31.5+k3s1' })
      expect(host.run(['init', '--rootfs', next, '--config', '/tmp/config.yaml']).answer).toMatchObject({
        code: 3,
        changed: false,
      })
      expect(host.run(['install', '--rootfs', next]).answer).toMatchObject({ code: 3, changed: false })
      const agent = host.run(['join', '--rootfs', rootfs, '--config', '/tmp/config.yaml'])
      expect(agent.answer).toMatchObject({ code: 3, message: 'this node is a server already' })
    })

    it('writes text that cannot break the JSON line', () => {
      host.write('/tmp/odd "name"\\.yaml', '')
      const { answer } = host.run(['init', '--rootfs', rootfs, '--config', '/tmp/odd "name"\\.yaml'])
      expect(answer).toMatchObject({ code: 2, message: 'the config "/tmp/odd "name"\\.yaml" is empty' })
    })
  })

  describe('join', () => {
    const join = (...more: readonly string[]): readonly string[] => [
      'join',
      '--rootfs',
      rootfs,
      '--timeout',
      '20',
      ...more,
    ]

    it('brings an agent up', () => {
      const { answer } = host.run(join('--config', '/tmp/config.yaml'))
      expect(answer).toMatchObject({ ok: true, changed: true, state: 'running' })
      expect(host.calls()).toContain('systemctl start --no-block k3s-agent.service')
      expect(host.run(join('--config', '/tmp/config.yaml')).answer).toMatchObject({ ok: true, changed: false })
    })

    it('does not take an active agent unit for a working agent', () => {
      host.write('/shim/no-credentials', '')
      const { answer } = host.run(['join', '--rootfs', rootfs, '--timeout', '1', '--config', '/tmp/config.yaml'])
      expect(answer).toMatchObject({ code: 5 })
      expect(answer?.message).toContain('the kubelet has no credentials yet')
    })

    it('renders server and token by hand, quoted', () => {
      host.write('/tmp/token', "K10abc::server:it's\n")
      const route =
        'ip link add eth9 type bridge; ip addr add 10.0.0.2/24 dev eth9; ip link set eth9 up; ip route add default via 10.0.0.254'
      const argv = join('--role', 'server', '--server', 'https://10.0.0.1:6443', '--token-file', '/tmp/token')
      expect(host.run(argv, { prepare: route }).answer).toMatchObject({ ok: true })
      expect(host.read('/etc/rancher/k3s/config.yaml').split('\n').slice(1)).toEqual([
        "server: 'https://10.0.0.1:6443'",
        "token: 'K10abc::server:it''s'",
        '',
      ])
      expect(host.calls()).toContain('install.sh server')
    })

    it.each([
      [[], 'join needs --server and --token-file, or --config'],
      [['--server', '10.0.0.1'], '--server is no https address: "10.0.0.1"'],
      [['--server', 'https://10.0.0.1:6443'], 'join needs --token-file, or --config'],
    ])('refuses %j', (more, message) => {
      expect(host.run(join(...more)).answer).toMatchObject({ code: 2, message, changed: false })
    })
  })

  describe('fix default-route', () => {
    it('adds the unit whose commands make a last-resort route, once', () => {
      const { answer } = host.run(['fix', 'default-route'])
      expect(answer).toMatchObject({ ok: true, changed: true, message: 'this host has a default route' })
      const unit = host.read('/etc/systemd/system/cloudimg-default-route.service')
      expect(unit).toContain('Before=k3s.service k3s-agent.service')
      expect(unit).toContain('203.0.113.254/31 dev cloudimg0')
      expect(host.calls()).toContain('systemctl enable cloudimg-default-route.service')
    })

    it('leaves a host with a route alone', () => {
      const route =
        'ip link add eth9 type bridge; ip addr add 10.0.0.2/24 dev eth9; ip link set eth9 up; ip route add default via 10.0.0.254'
      expect(host.run(['fix', 'default-route'], { prepare: route }).answer).toMatchObject({ ok: true, changed: false })
      expect(host.exists('/etc/systemd/system/cloudimg-default-route.service')).toBe(false)
    })

    it('comes before k3s with init --fix, and goes with reset', () => {
      expect(host.run(init('--fix', 'default-route')).answer).toMatchObject({ ok: true })
      const calls = host.calls()
      expect(calls.indexOf('systemctl restart cloudimg-default-route.service')).toBeLessThan(
        calls.indexOf('install.sh server'),
      )
      expect(host.run(['reset']).answer).toMatchObject({ ok: true })
      expect(host.exists('/etc/systemd/system/cloudimg-default-route.service')).toBe(false)
    })
  })

  describe('import and status', () => {
    const names = 'docker.io/library/a:1\nregistry.example/b:2\n'

    it('imports from stdin and pins what came, and changes nothing again', () => {
      host.run(init())
      expect(host.run(['import'], { stdin: names }).answer).toMatchObject({
        ok: true,
        changed: true,
        message: 'imported and pinned 2 images',
      })
      expect(host.read('/shim/labels').trim().split('\n')).toEqual([
        'docker.io/library/a:1 io.cri-containerd.pinned=pinned',
        'registry.example/b:2 io.cri-containerd.pinned=pinned',
      ])
      expect(host.run(['import'], { stdin: names }).answer).toMatchObject({ ok: true, changed: false })
    })

    it.each([
      ['.tar', (text: string): Buffer => Buffer.from(text)],
      ['.tar.gz', (text: string): Buffer => gzipSync(text)],
    ])('imports a %s archive', (suffix, pack) => {
      host.run(init())
      fs.writeFileSync(host.path(`/tmp/images${suffix}`), pack(names))
      expect(host.run(['import', '--archive', `/tmp/images${suffix}`]).answer).toMatchObject({
        ok: true,
        changed: true,
      })
    })

    it('says that zstd is missing, or uses it', () => {
      host.run(init())
      const packed = spawnSync('zstd', ['-c'], { input: names })
      if (packed.error !== undefined) throw new Error('zstd is missing: apt-get install zstd')
      fs.writeFileSync(host.path('/tmp/images.tar.zst'), packed.stdout)
      const { answer } = host.run(['import', '--archive', '/tmp/images.tar.zst'])
      const missing = { code: 3, message: 'the command "zstd" is missing' }
      expect(answer).toMatchObject(userland === 'busybox' ? missing : { ok: true, changed: true })
    })

    describe('of a layout', () => {
      const digest = (digit: string): string => `sha256:${digit.repeat(64)}`
      const type = 'application/vnd.oci.image.manifest.v1+json'
      const line = (name: string, manifest: string, blob: string): string =>
        `${digest(manifest)} 7 ${type} ${name} ${digest(blob)} ${digest('f')}`
      const [a, b] = ['docker.io/library/a:1', `registry.example/b@${digest('c')}`]
      const lay = (...lines: readonly string[]): void => {
        host.write('/tmp/oci/oci-layout', '{"imageLayoutVersion":"1.0.0"}')
        for (const digit of '12345f') host.write(`/tmp/oci/blobs/sha256/${digit.repeat(64)}`, `blob ${digit}`)
        host.write('/tmp/oci/images.txt', lines.map(text => `${text}\n`).join(''))
      }
      const imported = (): readonly string[] => host.read('/shim/archive-paths').trim().split('\n').toSorted()
      const blob = (digit: string): string => `blobs/sha256/${digit.repeat(64)}`

      const own = 'docker.io/rancher/mirrored-pause:3.6\n'

      it('brings what this node lacks, pins it, and changes nothing again', () => {
        host.write('/shim/own', own)
        host.run(init())
        lay(line(a, '1', '3'), line(b, '2', '4'))
        const run = (): unknown => host.run(['import', '--archive', '/tmp/oci']).answer
        expect(run()).toMatchObject({ ok: true, changed: true })
        expect(imported()).toEqual([...['1', '2', '3', '4', 'f'].map(blob), 'index.json', 'oci-layout'])
        expect(JSON.parse(host.read('/shim/index'))).toEqual({
          schemaVersion: 2,
          manifests: [a, b].map((name, i) => ({
            mediaType: type,
            digest: digest(String(i + 1)),
            size: 7,
            annotations: { 'io.containerd.image.name': name, 'org.opencontainers.image.ref.name': name },
          })),
        })
        expect(host.read('/shim/labels').trim().split('\n')).toEqual(
          [a, b].map(name => `${name} io.cri-containerd.pinned=pinned`),
        )
        expect(run()).toMatchObject({ ok: true, changed: false })
        // Another image under the same name: only that one is streamed.
        lay(line(a, '5', '3'), line(b, '2', '4'))
        expect(run()).toMatchObject({ ok: true, changed: true })
        expect(imported()).toEqual([...['3', '5', 'f'].map(blob), 'index.json', 'oci-layout'])
        // Somebody took the pin away.
        host.write('/shim/labels', `${b} io.cri-containerd.pinned=pinned\n`)
        expect(run()).toMatchObject({ ok: true, changed: true })
        expect(host.read('/shim/labels')).toContain(`${a} io.cri-containerd.pinned=pinned`)
      })

      it('restarts k3s once where images are gone that it brings itself', () => {
        host.write('/shim/own', own)
        host.run(init())
        lay(line(a, '1', '3'))
        host.write('/shim/images', '')
        const restarts = (): number => host.calls().filter(call => call.startsWith('systemctl restart')).length
        const before = restarts()
        const run = (): unknown => host.run(['import', '--archive', '/tmp/oci']).answer
        expect(run()).toMatchObject({ ok: true, changed: true })
        expect(host.read('/shim/images')).toContain(own)
        expect(restarts() - before).toBe(1)
        expect(run()).toMatchObject({ ok: true, changed: false })
      })

      it('does not wait for ever for what k3s cannot bring', () => {
        host.run(init())
        lay(line(a, '1', '3'))
        const { answer } = host.run(['import', '--archive', '/tmp/oci', '--timeout', '2'])
        expect(answer).toMatchObject({ ok: false, code: 5, message: expect.stringContaining('still images missing') })
      })

      it('refuses a list that leads elsewhere, and a layout without its blobs', () => {
        host.run(init())
        lay(line(a, '1', '3').replace(digest('3'), 'sha256:../../../../etc/shadow'))
        expect(host.run(['import', '--archive', '/tmp/oci']).answer).toMatchObject({ ok: false, code: 4 })
        lay(line(a, '1', '9'))
        const { answer } = host.run(['import', '--archive', '/tmp/oci'])
        expect(answer).toMatchObject({
          ok: false,
          code: 4,
          message: expect.stringContaining('"/tmp/oci" is not whole'),
        })
        expect(host.run(['import', '--archive', '/tmp']).answer).toMatchObject({ ok: false, code: 2 })
      })
    })

    it('fails on a damaged archive', () => {
      host.run(init())
      fs.writeFileSync(host.path('/tmp/images.tar.gz'), gzipSync('x'.repeat(100_000)).subarray(0, 40))
      expect(host.run(['import', '--archive', '/tmp/images.tar.gz']).answer).toMatchObject({ ok: false, code: 1 })
      expect(host.run(['import'], { stdin: '' }).answer).toMatchObject({ ok: false, code: 1 })
    })

    it('refuses before k3s is there', () => {
      expect(host.run(['import'], { stdin: names }).answer).toMatchObject({
        code: 3,
        message: 'k3s is not installed here',
      })
    })

    it('lists what is missing, whatever way it is written', () => {
      host.run(init('--cluster', 'c1'))
      host.run(['import'], {
        stdin: `docker.io/library/a:1\ndocker.io/library/plain:latest\nregistry.example/b@sha256:${'1'.repeat(64)}\n`,
      })
      host.write(
        '/tmp/list',
        `# comment\na:1\nplain\n\nregistry.example/b:2@sha256:${'1'.repeat(64)}\nrancher/mirrored-pause:3.6 # pause\nlocalhost:5000/c\n`,
      )
      const { answer } = host.run(['status', '--images', '/tmp/list'])
      expect(answer).toMatchObject({
        ok: true,
        state: 'running',
        missing: ['docker.io/rancher/mirrored-pause:3.6', 'localhost:5000/c:latest'],
      })
      expect(answer).toMatchObject({
        role: 'server',
        cluster: 'c1',
        unit: 'k3s',
        active: 'active',
        version: release.version,
      })
      expect(host.run(['status']).answer?.missing).toEqual(['docker.io/rancher/mirrored-pause:3.6'])
    })

    it('tells absent, staged, installed and stopped apart', () => {
      expect(host.run(['status']).answer).toMatchObject({ ok: true, state: 'absent' })
      host.run(['stage', '--rootfs', rootfs])
      expect(host.run(['status', '--rootfs', rootfs]).answer?.state).toBe('staged')
      host.run(['install', '--rootfs', rootfs])
      expect(host.run(['status']).answer?.state).toBe('installed')
      host.run(init())
      host.remove('/run/shim/k3s.service')
      expect(host.run(['status']).answer).toMatchObject({ state: 'stopped', missing: [] })
    })
  })

  describe('the lock', () => {
    it('is held by one operation, and kept alive by it', () => {
      expect(host.run(['lock', '--op', 'a', '--epoch', '1', '--owner', 'me@here']).answer).toMatchObject({
        ok: true,
        changed: false,
        epoch: 1,
      })
      expect(host.read('/var/lib/cloudimg/lock')).toMatch(/^me@here a 1 \d+\n$/)
      expect(host.run(['lock', '--op', 'a', '--epoch', '1']).answer).toMatchObject({ ok: true })
      expect(host.run(['lock', '--op', 'b', '--epoch', '1', '--owner', 'you']).answer).toMatchObject({
        code: 75,
        epoch: 1,
      })
      expect(host.run(['heartbeat', '--op', 'a', '--epoch', '1']).answer).toMatchObject({ ok: true, epoch: 1 })
      expect(host.run(['heartbeat', '--op', 'b']).answer).toMatchObject({ code: 75 })
      expect(host.run(['unlock', '--op', 'b']).answer).toMatchObject({ code: 75 })
      expect(host.run(['unlock', '--op', 'a']).answer).toMatchObject({ ok: true, changed: false })
      expect(host.run(['unlock', '--op', 'a']).answer).toMatchObject({ ok: true, message: 'nobody held the lock' })
    })

    it('is taken by a program that comes by stdin, before anything is on the host', () => {
      const bare = lab.host()
      const { answer } = bare.run(['lock', '--op', 'a', '--epoch', '3'], { byStdin: true })
      expect(answer).toMatchObject({ ok: true, epoch: 3 })
      expect(bare.run(['unlock', '--op', 'a', '--epoch', '3'], { byStdin: true }).answer).toMatchObject({ ok: true })
      expect(bare.exists('/var/lib/cloudimg')).toBe(false)
    })

    it('refuses the changes of others and of an older epoch', () => {
      host.run(['lock', '--op', 'a', '--epoch', '2'])
      const before = host.snapshot()
      expect(host.run(['install', '--rootfs', rootfs]).answer).toMatchObject({ code: 75, changed: false })
      expect(host.run(['install', '--rootfs', rootfs, '--op', 'b', '--epoch', '9']).answer).toMatchObject({ code: 75 })
      expect(host.run(['install', '--rootfs', rootfs, '--op', 'a', '--epoch', '1']).answer).toMatchObject({ code: 75 })
      expect(host.snapshot()).toEqual(before)
      expect(host.run(['install', '--rootfs', rootfs, '--op', 'a', '--epoch', '2']).answer).toMatchObject({ ok: true })
    })

    it('is taken over with a higher epoch, and the old operation stays out, even after unlock', () => {
      host.run(['lock', '--op', 'a', '--epoch', '1'])
      expect(host.run(['lock', '--op', 'b', '--epoch', '2']).answer).toMatchObject({ ok: true, epoch: 2 })
      expect(host.run(['install', '--rootfs', rootfs, '--op', 'a', '--epoch', '1']).answer).toMatchObject({ code: 75 })
      host.run(['unlock', '--op', 'b'])
      expect(host.run(['install', '--rootfs', rootfs, '--op', 'a', '--epoch', '1']).answer).toMatchObject({ code: 75 })
      expect(host.run(['lock', '--op', 'a', '--epoch', '1']).answer).toMatchObject({ code: 75 })
      expect(host.run(['lock', '--op', 'a', '--epoch', '2']).answer).toMatchObject({ ok: true, epoch: 2 })
      host.run(['unlock', '--op', 'a'])
      expect(host.run(['lock', '--op', 'c', '--epoch', '1']).answer).toMatchObject({ ok: true, epoch: 1 })
    })

    it('lets one command change the host at a time', () => {
      // A process that lives as long as this command, named as the one at work.
      const busy =
        'mount -t proc proc /proc; sleep 60 & p=$!; echo "$p $(sed "s/^.*) //" /proc/$p/stat | cut -d" " -f20)" >"$T/run/cloudimg.running"'
      const { answer } = host.run(['install', '--rootfs', rootfs], { prepare: busy })
      expect(answer).toMatchObject({ code: 75, changed: false })
      expect(answer?.message).toMatch(/^another cloudimg-node is at work here \(process \d+\)$/)
      // The same file without its process is no obstacle.
      expect(host.run(['install', '--rootfs', rootfs]).answer).toMatchObject({ ok: true })
    })
  })
})
