import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { clerkPassword } from '../../scripts/lab/root-tree-recipe.ts'
import { attempt, must } from '../support/command.ts'
import { pingOut, sshArgv, startLab, tracesOf, type Lab } from '../support/lab.ts'

describe('a lab of two hosts', () => {
  let lab: Lab
  beforeAll(async () => {
    lab = await startLab(2)
  })
  afterAll(async () => await lab[Symbol.asyncDispose]())

  it('is reached by its own interface only', async () => {
    for (const { ip } of lab.hosts)
      expect(await must(['ip', '-o', 'route', 'get', ip])).toContain(` dev ${lab.prefix}h0 `)
  })

  it.each(['root', 'cloud', 'clerk', 'guest'])('lets %s in by ssh, with the host key checked', async user => {
    const said = await must(sshArgv(lab.host('node2'), ['id -un; hostname'], user))
    expect(said).toBe(`${user}\nnode2`)
  })

  it('is refused by ssh under another host key', async () => {
    const wrongKey = `${lab.home}/wrong_known_hosts`
    await must([
      'sh',
      '-c',
      'ssh-keygen -q -t ed25519 -N "" -f "$1" && sed "s/^/$2 /" "$1.pub" > "$3"',
      'sh',
      `${lab.home}/wrong`,
      lab.host('node1').ip,
      wrongKey,
    ])
    const [ssh = 'ssh', ...rest] = sshArgv(lab.host('node1'), ['true'])
    const result = await attempt([ssh, '-o', `UserKnownHostsFile=${wrongKey}`, ...rest])
    expect(result.code).toBe(255)
    expect(result.stderr).toContain('REMOTE HOST IDENTIFICATION HAS CHANGED')
  })

  it.each([
    ['cloud', 'sudo -n id -u', 0],
    ['clerk', 'sudo -n id -u', 1],
    ['clerk', 'sudo -S -p "" id -u', 0],
    ['guest', 'sudo -n id -u', 1],
  ])('gives %s "%s" the exit code %i', async (user, command, code) => {
    const result = await attempt(sshArgv(lab.host('node1'), [command], user), { input: `${clerkPassword}\n` })
    expect(result.code).toBe(code)
    expect(result.stdout).toBe(code === 0 ? '0\n' : '')
  })

  it('has hosts that see each other', async () => {
    const ping = await lab.host('node1').must(['ping', '-c1', '-W2', lab.host('node2').ip])
    expect(ping).toContain('1 received')
  })

  it('has no route out', async () => {
    for (const host of lab.hosts) expect(await pingOut(host)).toContain('Network is unreachable')
  })

  it('runs the Node that the checkout brought', async () => {
    expect(await lab.host('node1').must(['node', '--version'])).toBe(process.version)
  })

  it('keeps files over a power cut, and nothing else', async () => {
    const host = lab.host('node1')
    await host.put('/var/lib/cloudimg/kept file', 'still here\n', '600')
    await host.put('/run/lost', 'gone\n')
    await host.must('systemd-run -q --unit=busy sleep 1000; systemctl is-active busy')
    await host.off()
    await expect(host.exec(['true'])).rejects.toThrow('it is off')
    await host.on()
    expect(await host.must('cat "/var/lib/cloudimg/kept file"; stat -c %a "/var/lib/cloudimg/kept file"')).toBe(
      'still here\n600',
    )
    expect((await host.exec('cat /run/lost; systemctl is-active busy')).stdout).toBe('')
    expect(await must(sshArgv(host, ['hostname'], 'guest'))).toBe('node1')
  })
})

describe('a lab with options', () => {
  it('has small disks, few inodes, noexec, a default route that leads nowhere', async () => {
    await using lab = await startLab([{ name: 'small', size: '1m', inodes: 20, mountOptions: 'noexec' }, 'other'], {
      defaultRoute: true,
    })
    const small = lab.host('small')
    expect((await small.exec('head -c 2M /dev/zero > /var/lib/rancher/big')).stderr).toContain(
      'No space left on device',
    )
    await small.must('rm /var/lib/rancher/big; cp /bin/true /var/lib/cloudimg/')
    expect((await small.exec(['/var/lib/cloudimg/true'])).code).toBe(126)
    expect((await small.exec('for i in $(seq 30); do : > /var/lib/kubelet/$i; done')).code).not.toBe(0)
    expect(await small.must('ls /var/lib/kubelet | wc -l')).toMatch(/^1\d$/)
    expect(await small.must('ip route show default')).toMatch(/^default via \S+\.254 dev eth0/)
    expect(await pingOut(small)).toContain('100% packet loss')
    await lab.host('other').must('head -c 2M /dev/zero > /var/lib/rancher/big')
    await small.off()
    await small.on()
    expect(await small.must('ip route show default')).toContain('.254')
  })

  it('leaves no mount, namespace, interface, cgroup or process', async () => {
    const lab = await startLab(2, { size: '1m' })
    expect((await tracesOf(lab)).length).toBeGreaterThan(10)
    await lab.host('node1').off()
    await lab[Symbol.asyncDispose]()
    expect(await tracesOf(lab)).toEqual([])
  })

  it('stands beside another lab', async () => {
    await using one = await startLab(1)
    await using two = await startLab(1)
    expect(two.prefix).not.toBe(one.prefix)
    await one.host('node1').put('/root/mine', '1')
    expect((await two.host('node1').exec(['test', '-e', '/root/mine'])).code).toBe(1)
    expect((await two.host('node1').exec(['ip', 'route', 'get', one.host('node1').ip])).code).not.toBe(0)
  })

  it('clears what a killed run left', async () => {
    const script = `import { startLab } from '${new URL('../support/lab.ts', import.meta.url).href}'
      const lab = await startLab(1)
      console.log(JSON.stringify({ prefix: lab.prefix, home: lab.home }))
      process.kill(process.pid, 'SIGKILL')`
    const killed = await attempt([process.execPath, '--input-type=module-typescript', '-e', script])
    expect(killed.code).toBe(137)
    const left = JSON.parse(killed.stdout)
    expect(await tracesOf(left)).not.toEqual([])
    const next = await startLab(0)
    await next[Symbol.asyncDispose]()
    expect(await tracesOf(left)).toEqual([])
  })
})
