import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Lab, type Sandbox } from '../support/installer-sandbox.ts'
import { listening, servedRelease } from '../support/served-release.ts'
import { sample } from '../support/soak.ts'

// A power cut at a write of the installer or of its shims, at a sample of them here, at every one of them in `npm run soak`:
// everything dies at once, /run is empty afterwards, systemd starts what is enabled. Then the same command runs again.
// (With shims; that disks keep what was synced is not shown here. Real hosts: test/e2e/power-cut.test.ts)

const first = { version: 'v1.31.4+k3s1', script: '1', extra: { 'bin/helm': 'helm one', 'bin/old': 'goes away' } }
const second = { version: 'v1.31.5+k3s1', script: '2', extra: { 'bin/helm': 'helm two' } }
const served = servedRelease('v1.31.4+k3s1', { 'docker.io/library/web:1': 'web' })
const config = { one: "node-ip: '10.0.0.1'\n", two: "node-ip: '10.0.0.1'\ndebug: true\n" }

interface Scenario {
  readonly name: string
  readonly argv: (host: Sandbox) => readonly string[]
  readonly before: (host: Sandbox) => void
  /** Whole texts of config.yaml of which one must be there whenever a unit is. */
  readonly configs: readonly string[]
  /** Before each command, where it runs. */
  readonly prepare?: string
  /** A second whole run changes something again. */
  readonly twice?: boolean
}

const start = (verb: 'init' | 'join', host: Sandbox): readonly string[] => [
  verb,
  '--rootfs',
  host.rootfs(first),
  '--config',
  '/shim/one.yaml',
  '--registries',
  '/shim/registries.yaml',
  '--timeout',
  '20',
]
const upgrade = (host: Sandbox): readonly string[] => [
  'upgrade',
  '--rootfs',
  host.rootfs(second),
  '--config',
  '/shim/two.yaml',
  '--timeout',
  '20',
]
const must = (host: Sandbox, argv: readonly string[]): void => {
  const { status, stderr } = host.run(argv)
  if (status !== 0) throw new Error(`${argv[0]}: ${stderr}`)
}
const nothing = (): void => undefined
const started = (host: Sandbox): void => must(host, start('init', host))
const upgraded = (host: Sandbox): void => {
  started(host)
  must(host, upgrade(host))
}
const litter = (host: Sandbox): void => {
  started(host)
  for (const path of ['/etc/rancher/node/password', '/var/log/pods/x', '/var/lib/cni/y', '/var/lib/kubelet/pods/z'])
    host.write(path, 'x')
}
const { one, two } = config

// `stage` and `install` are the beginning of `init`; `remove` is that of `reset`.
const scenarios: readonly Scenario[] = [
  {
    name: 'init over a configuration that was there',
    argv: host => start('init', host),
    before: host => host.write('/etc/rancher/k3s/config.yaml', 'found'),
    configs: [one],
  },
  { name: 'join', argv: host => start('join', host), before: nothing, configs: [one] },
  {
    name: 'registry',
    argv: host => ['registry', '--rootfs', host.rootfs(served), '--port', '5443', '--timeout', '20'],
    before: host => {
      must(host, ['install', '--rootfs', host.rootfs(served)])
      host.write('/etc/rancher/k3s/registry/config.yml', 'version: 0.1\n')
    },
    configs: [],
    prepare: listening,
  },
  { name: 'upgrade', argv: upgrade, before: started, configs: [one, two] },
  { name: 'rollback', argv: () => ['rollback', '--timeout', '20'], before: upgraded, configs: [one, two] },
  {
    name: 'remove without the uninstall script',
    argv: () => ['remove'],
    before: host => {
      litter(host)
      host.remove('/usr/local/bin/k3s-uninstall.sh')
    },
    configs: [one],
  },
  { name: 'reset', argv: () => ['reset'], before: litter, configs: [one] },
  // Each run has a network of its own here, so the route is missing again.
  { name: 'fix default-route', argv: () => ['fix', 'default-route'], before: nothing, configs: [], twice: true },
]

describe.each(['dash with GNU tools', 'busybox'] as const)('under %s, with a shimmed systemctl', userland => {
  let lab: Lab
  beforeAll(async () => {
    lab = await Lab.open(userland)
  })
  afterAll(() => {
    lab.close()
  })

  // The writes are the same under every shell: busybox runs the longest three commands.
  const chosen =
    userland === 'busybox' ? scenarios.filter(({ name }) => /^(init.*|registry|upgrade|reset)$/.test(name)) : scenarios
  it.each(chosen)('$name survives power cuts at its writes', ({ name, argv, before, configs, prepare, twice }) => {
    const prepared = lab.host()
    prepared.write('/shim/one.yaml', one)
    prepared.write('/shim/two.yaml', two)
    prepared.write('/shim/registries.yaml', 'mirrors: {}\n')
    prepared.rootfs(first)
    before(prepared)
    const command = argv(prepared)

    const options = prepare === undefined ? {} : { prepare }
    const whole = lab.copy(prepared)
    expect(whole.run(command, options)).toMatchObject({ status: 0 })
    const writes = whole.points()
    expect(writes).toBeGreaterThan(1)
    const end = whole.snapshot()
    expect(whole.run(command, options).answer, 'the second whole run').toMatchObject({
      ok: true,
      changed: twice === true,
    })

    const all = Array.from({ length: writes }, (_, index) => index + 1)
    for (const write of sample(`cuts of ${name}, ${userland}`, all, 6)) {
      const host = lab.copy(prepared)
      const cut = host.run(command, { ...options, crashAt: write })
      expect(cut, `cut at write ${write}`).toMatchObject({ status: 137, answer: undefined })
      const unit = ['k3s', 'k3s-agent'].some(name => host.exists(`/etc/systemd/system/${name}.service`))
      const found = unit ? host.read('/etc/rancher/k3s/config.yaml') : 'no unit'
      expect(['no unit', ...configs], `config.yaml after a cut at write ${write}`).toContain(found)
      host.reboot()
      const again = host.run(command, options)
      expect(again, `again after a cut at write ${write}: ${again.stderr}`).toMatchObject({ status: 0 })
      expect(host.snapshot(), `the end after a cut at write ${write}`).toEqual(end)
      host.destroy()
    }
  })
})
