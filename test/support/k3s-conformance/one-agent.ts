import { expect } from 'vitest'
import { eventually } from '../command.ts'
import {
  agentConfig,
  before,
  configFile,
  from,
  namesOn,
  patienceOf,
  serverToken,
  untilJournalSays,
  untilReadyIs,
  type Bench,
  type Chapter,
} from './bench.ts'

const kubeletConfig = '/var/lib/rancher/k3s/agent/kubelet.kubeconfig'

async function startWith(bench: Bench, token: string): Promise<void> {
  await bench.agent.put(configFile, agentConfig(bench, token), '600')
  await bench.agent.must('systemctl stop k3s-agent; systemctl start --no-block k3s-agent')
}

export const oneAgent: Chapter = {
  title: 'one agent',
  rows: [
    {
      fact: 'k3s-observed.md 10',
      claim: 'with a wrong token it says 401 for ever, and the unit is active nonetheless',
      not: before('1.22.0'),
      run: async bench => {
        await startWith(bench, 'wrong')
        await untilJournalSays(bench, bench.agent, 'k3s-agent', /401 Unauthorized/)
        expect(await bench.agent.must('systemctl is-active k3s-agent')).toBe('active')
      },
    },
    {
      fact: 'k3s.md §3.5',
      claim: 'with a wrong token it says 401 for ever, and the unit is never active',
      not: from('1.22.0'),
      run: async bench => {
        await startWith(bench, 'wrong')
        await untilJournalSays(bench, bench.agent, 'k3s-agent', /401 Unauthorized/)
        expect((await bench.agent.exec('systemctl is-active k3s-agent')).stdout.trim()).toBe('activating')
      },
    },
    {
      fact: 'seen on v1.21.2',
      claim: 'there is no agent/kubelet.kubeconfig before a server let it in',
      run: async ({ agent }) => {
        expect((await agent.exec(['test', '-e', kubeletConfig])).code).toBe(1)
      },
    },
    {
      fact: 'k3s.md §7.2, §10 no. 20',
      claim: 'a long token of another cluster is refused by its hash',
      run: async bench => {
        await startWith(bench, `K10${'0'.repeat(64)}::server:${serverToken}`)
        await untilJournalSays(bench, bench.agent, 'k3s-agent', /token CA hash does not match/)
      },
    },
    {
      fact: 'k3s.md §7.2',
      claim: 'the full token of the server lets it in, and it becomes Ready',
      run: async bench => {
        await startWith(bench, await bench.server.must('cat /var/lib/rancher/k3s/server/node-token'))
        await untilReadyIs(bench, bench.agent, 'True')
        const roles = await bench.server.must(`k3s kubectl get node ${bench.agent.name} --no-headers`)
        expect(roles).toMatch(/ <none> /)
        await bench.agent.must(['test', '-s', kubeletConfig])
      },
    },
    {
      fact: 'k3s.md §4.2',
      claim: 'its images are there when it is Ready',
      run: async ({ agent, images }) => {
        expect(await namesOn(agent)).toEqual(expect.arrayContaining([...images]))
      },
    },
    {
      fact: 'k3s.md §7.6; k3s issue 4271',
      claim: 'a restart gives it new certificates, however long the old ones last',
      run: async bench => {
        const { agent } = bench
        const sum = async (): Promise<string> =>
          await agent.must('sha256sum < /var/lib/rancher/k3s/agent/client-kubelet.crt')
        const old = await sum()
        await agent.must('systemctl kill -s KILL k3s-agent; systemctl restart --no-block k3s-agent')
        await eventually('another certificate', patienceOf(bench), async () =>
          (await sum()) === old ? undefined : true,
        )
        await untilReadyIs(bench, agent, 'True')
      },
    },
    {
      fact: 'k3s.md §7.2',
      claim: 'it keeps its node password in a file of its own, mode 0600',
      run: async ({ agent }) => {
        expect(await agent.must('stat -c %a /etc/rancher/node/password')).toBe('600')
      },
    },
    {
      fact: 'k3s.md §7.3 no. 6',
      claim: 'it has no kubeconfig',
      run: async ({ agent }) => {
        expect((await agent.exec('k3s kubectl get nodes 2>&1')).stdout).toContain('localhost:8080 was refused')
      },
    },
    {
      fact: 'DEPLOY.md "Delete"; seen on v1.21.2',
      claim: 'a deleted node stays away while its agent runs on, and comes back when the agent starts again',
      run: async bench => {
        const { agent, server, isStandin } = bench
        await server.must(`k3s kubectl delete node ${agent.name}`)
        await server.must(`sleep ${isStandin ? 3 : 25}`)
        expect(await server.must('k3s kubectl get nodes -o name')).toBe(`node/${server.name}`)
        expect(await agent.must('systemctl is-active k3s-agent')).toBe('active')
        // Stopping it politely takes a minute and more in a real k3s that looks for its node.
        await agent.must('systemctl kill -s KILL k3s-agent')
        await untilReadyIs(bench, agent, 'True')
      },
    },
    {
      fact: 'k3s-observed.md 12',
      claim: 'a node that is gone stays Ready for a while, then its state is unknown',
      run: async bench => {
        // A real agent that joined a moment ago may take systemd's 90 s to stop politely.
        await bench.agent.must('systemctl kill -s KILL k3s-agent; systemctl stop k3s-agent')
        const now = await bench.server.must(`k3s kubectl get node ${bench.agent.name} --no-headers`)
        expect(now).toMatch(/ Ready /)
        await untilReadyIs(bench, bench.agent, 'Unknown')
      },
    },
    {
      fact: 'k3s-observed.md 17',
      claim: 'another node password under the same name is rejected for ever; deleting the node cures it',
      run: async bench => {
        await bench.agent.must('rm /etc/rancher/node/password; systemctl start --no-block k3s-agent')
        await untilJournalSays(bench, bench.agent, 'k3s-agent', /Node password rejected, duplicate hostname/)
        expect(await bench.server.must(`k3s kubectl delete node ${bench.agent.name}`)).toContain(
          `"${bench.agent.name}" deleted`,
        )
        await untilReadyIs(bench, bench.agent, 'True')
      },
    },
    {
      fact: 'lab.md "Hosts"',
      claim: 'after a power cut it comes back by itself',
      run: async bench => {
        await bench.agent.off()
        await bench.agent.on()
        await eventually('a running agent', patienceOf(bench), async () =>
          (await bench.agent.exec('k3s ctr images ls -q')).code === 0 ? true : undefined,
        )
        await untilReadyIs(bench, bench.agent, 'True')
      },
    },
    {
      fact: 'k3s-observed.md 21, 22; k3s.md §3.8',
      claim: 'uninstalling deletes data and archives, keeps the node password, and does not remove the node',
      run: async bench => {
        const { agent, server } = bench
        await agent.must('k3s-agent-uninstall.sh', { timeoutMs: 120_000 })
        const left = await agent.must(
          'ls -d /usr/local/bin/k3s* /var/lib/rancher/k3s/* /etc/rancher/k3s /etc/systemd/system/k3s* 2>/dev/null || true',
        )
        expect(left).toBe('')
        await agent.must('test -f /etc/rancher/node/password')
        await server.must(`k3s kubectl get node ${agent.name}`)
        expect(await server.must(`k3s kubectl delete node ${agent.name}`)).toContain('deleted')
        expect((await server.exec(`k3s kubectl delete node ${agent.name} 2>&1`)).stdout).toContain('(NotFound)')
      },
    },
    {
      fact: 'k3s-observed.md 21; k3s.md §3.8',
      claim: 'a server is uninstalled by its own script',
      run: async ({ server }) => {
        await server.must('k3s-uninstall.sh', { timeoutMs: 120_000 })
        const left = await server.must(
          'ls -d /usr/local/bin/k3s* /usr/local/bin/kubectl /var/lib/rancher/k3s/* /etc/rancher/k3s /etc/systemd/system/k3s* 2>/dev/null || true',
        )
        expect(left).toBe('')
      },
    },
  ],
}
