import { expect } from 'vitest'
import {
  agentConfig,
  before,
  configFile,
  from,
  installScript,
  patienceOf,
  placeRelease,
  serverConfig,
  serverToken,
  untilJournalSays,
  type Bench,
  type Chapter,
} from './bench.ts'

/** Runs a command that must end by itself, and returns everything it said. */
async function saidBy(
  bench: Bench,
  command: string,
  host = bench.server,
): Promise<{ readonly code: number; readonly text: string }> {
  const { code, stdout, stderr } = await host.exec(`set +e; timeout 90 ${command} 2>&1`, {
    timeoutMs: patienceOf(bench) + 60_000,
  })
  return { code, text: `${stdout}${stderr}` }
}

export const binary: Chapter = {
  title: 'the file, before anything is installed',
  rows: [
    {
      fact: 'k3s.md §2.6 no. 4',
      claim: '--version names the tag in its first line and Go in its second',
      run: async bench => {
        for (const host of [bench.server, bench.agent]) await placeRelease(bench, host, true)
        const [first, second] = (await bench.server.must(['k3s', '--version'])).split('\n')
        expect(first).toMatch(new RegExp(`^k3s version ${bench.version.replaceAll(/[.+]/g, '\\$&')} \\(\\w+\\)$`))
        expect(second).toMatch(/^go version /)
      },
    },
    {
      fact: 'k3s.md §9.7',
      claim: 'it cannot run where its data directory is mounted noexec, though --version can',
      run: async bench => {
        await placeRelease(bench, bench.noexec, false)
        await bench.noexec.must(['k3s', '--version'])
        const { code, text } = await saidBy(bench, 'k3s kubectl version --client', bench.noexec)
        expect(code).not.toBe(0)
        expect(text).toMatch(/permission denied/i)
      },
    },
    {
      fact: 'k3s.md §9.7',
      claim: 'it unpacks itself to data/<hash>/bin below its data directory',
      run: async ({ server }) => {
        await server.must(['k3s', 'kubectl', 'version', '--client'])
        const files = (await server.must('ls -d /var/lib/rancher/k3s/data/*/bin/k3s')).split('\n')
        expect(files.some(file => /\/data\/[0-9a-f]{64}\/bin\/k3s$/.test(file))).toBe(true)
      },
    },
    {
      fact: 'seen on v1.21.2; k3s pull request 4632',
      claim: 'it has no command certificate',
      not: before('1.21.8 1.22.5 1.23.1'),
      run: async bench => {
        const { code, text } = await saidBy(bench, 'k3s certificate rotate')
        expect(code).not.toBe(0)
        expect(text).toContain("No help topic for 'certificate'")
      },
    },
    {
      fact: 'k3s-observed.md 9; k3s.md §9.4',
      claim: 'a server without a default route and without addresses of its own dies and says why',
      run: async bench => {
        const { code, text } = await saidBy(bench, 'k3s server')
        expect(code).not.toBe(0)
        expect(text).toMatch(/default route/)
        await bench.server.exec('rm -rf /var/lib/rancher/k3s/server /etc/rancher')
      },
    },
    {
      fact: 'k3s.md §6.1',
      claim: 'an unknown key stops the server',
      not: before('1.26.0'),
      run: async bench => {
        await bench.server.put(configFile, serverConfig(bench, 'no-such-key: true\n'), '600')
        const { code, text } = await saidBy(bench, 'k3s server')
        expect(code).not.toBe(0)
        expect(text).toContain('flag provided but not defined: -no-such-key')
      },
    },
    {
      fact: 'DEPLOY.md "Versions"',
      claim: 'embedded-registry is an unknown key to old versions',
      not: before('1.26.0'),
      run: async bench => {
        await bench.server.put(configFile, serverConfig(bench, 'embedded-registry: true\n'), '600')
        expect((await saidBy(bench, 'k3s server')).text).toContain('flag provided but not defined: -embedded-registry')
      },
    },
    {
      fact: 'k3s.md §6.1',
      claim: 'a key of the server alone stops the agent, in every version',
      run: async bench => {
        await bench.agent.put(configFile, agentConfig(bench, serverToken, 'tls-san: [example]\n'), '600')
        const { code, text } = await saidBy(bench, 'k3s agent', bench.agent)
        expect(code).not.toBe(0)
        expect(text).toContain('flag provided but not defined: -tls-san')
        await bench.agent.must(['rm', configFile])
      },
    },
    {
      fact: 'k3s.md §7.3 no. 6',
      claim: 'kubectl without a kubeconfig looks for nobody at localhost:8080',
      run: async bench => {
        const { code, text } = await saidBy(bench, 'k3s kubectl get nodes', bench.agent)
        expect(code).toBe(1)
        expect(text).toContain('The connection to the server localhost:8080 was refused')
      },
    },
    {
      fact: 'k3s.md §4.4',
      claim: 'ctr needs a running k3s',
      run: async bench => {
        const { code, text } = await saidBy(bench, 'k3s ctr images ls', bench.agent)
        expect(code).toBe(1)
        expect(text).toContain('/run/k3s/containerd/containerd.sock')
      },
    },
  ],
}

export const installer: Chapter = {
  title: 'install.sh',
  rows: [
    {
      fact: 'k3s.md §3.2 SKIP_DOWNLOAD',
      claim: 'it wants an executable k3s when it may not download',
      run: async ({ server }) => {
        await server.must('mv /usr/local/bin/k3s /root/k3s')
        const { code, stdout, stderr } = await server.exec(installScript('server'))
        expect(code).not.toBe(0)
        expect(stdout + stderr).toContain('/usr/local/bin/k3s')
        await server.must('mv /root/k3s /usr/local/bin/k3s; ! ls /etc/systemd/system/k3s.service')
      },
    },
    {
      fact: 'k3s.md §3.3',
      claim: 'it writes unit, env file, links, killall and uninstall scripts',
      run: async ({ server }) => {
        await server.must(installScript('server'))
        const links = 'cd /usr/local/bin; readlink kubectl crictl ctr | sort -u'
        expect(await server.must(links)).toBe('k3s')
        expect(await server.must('stat -c "%a %U" /usr/local/bin/k3s-killall.sh /usr/local/bin/k3s-uninstall.sh')).toBe(
          '755 root\n755 root',
        )
        expect(await server.must('stat -c %a /etc/systemd/system/k3s.service.env')).toMatch(/^[46]00$/)
      },
    },
    {
      fact: 'k3s.md §3.3',
      claim: 'the unit of a server is of type notify, without a time-out, restarted always, and leaves pods alone',
      run: async ({ server }) => {
        const shown = await server.must('systemctl show k3s -p Type -p TimeoutStartUSec -p Restart -p KillMode | sort')
        expect(shown).toBe('KillMode=process\nRestart=always\nTimeoutStartUSec=infinity\nType=notify')
      },
    },
    {
      fact: 'k3s.md §3.2 SKIP_START',
      claim: 'it enables and does not start',
      run: async ({ server }) => {
        expect(await server.must('systemctl is-enabled k3s')).toBe('enabled')
        expect((await server.exec('systemctl is-active k3s')).stdout.trim()).toBe('inactive')
      },
    },
    {
      fact: 'k3s.md §3.2 K3S_*, §3.3',
      claim: 'K3S variables and proxies of the caller reach the env file, and are gone after a run without them',
      run: async ({ server }) => {
        const envFile = '/etc/systemd/system/k3s.service.env'
        await server.must(installScript('server', "K3S_STANDIN_PROBE='two words' https_proxy=http://127.0.0.1:9"))
        const load = (name: string): string =>
          `systemd-run -q --pipe --wait -p EnvironmentFile=${envFile} printenv ${name}`
        expect(await server.must(load('K3S_STANDIN_PROBE'))).toBe('two words')
        expect(await server.must(load('https_proxy'))).toBe('http://127.0.0.1:9')
        await server.must(installScript('server'))
        expect((await server.exec(`grep -c . ${envFile}`)).stdout.trim()).toBe('0')
      },
    },
    {
      fact: 'k3s.md §3.2 SYMLINK',
      claim: 'a name that is in PATH already gets no link',
      run: async ({ agent }) => {
        await agent.put('/usr/local/sbin/kubectl', '#!/bin/sh\n', '755')
        await agent.must(installScript('agent'))
        expect((await agent.exec(['test', '-e', '/usr/local/bin/kubectl'])).code).toBe(1)
        await agent.must('rm /usr/local/sbin/kubectl')
      },
    },
    {
      fact: 'k3s.md §3.2',
      claim: 'an agent is the unit k3s-agent with its own uninstall script',
      run: async ({ agent }) => {
        await agent.must(installScript('agent'))
        await agent.must('test -x /usr/local/bin/k3s-agent-uninstall.sh; systemctl cat k3s-agent | grep -q " agent "')
      },
    },
    {
      fact: 'k3s-observed.md 10',
      claim: 'the unit of an agent is of type exec: active means nothing',
      not: before('1.22.0'),
      run: async ({ agent }) => {
        expect(await agent.must('systemctl show k3s-agent -p Type --value')).toBe('exec')
      },
    },
    {
      fact: 'k3s.md §3.2 TYPE',
      claim: 'the unit of an agent is of type notify',
      not: from('1.22.0'),
      run: async ({ agent }) => {
        expect(await agent.must('systemctl show k3s-agent -p Type --value')).toBe('notify')
      },
    },
  ],
}

export const unknownKeys: Chapter = {
  title: 'unknown keys, newer versions',
  rows: [
    {
      fact: 'k3s.md §6.1',
      claim: 'the server skips an unknown key with a warning',
      not: from('1.26.0'),
      run: async bench => {
        await bench.server.put(configFile, serverConfig(bench, 'no-such-key: true\n'), '600')
        await bench.server.must('systemctl start --no-block k3s')
        await untilJournalSays(bench, bench.server, 'k3s', /Unknown flag --no-such-key found in config.yaml, skipping/)
        await bench.server.exec('systemctl stop k3s; k3s-killall.sh; rm -rf /var/lib/rancher/k3s/server')
      },
    },
  ],
}
