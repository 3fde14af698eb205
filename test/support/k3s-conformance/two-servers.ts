import { expect } from 'vitest'
import { eventually } from '../command.ts'
import {
  configFile,
  from,
  installScript,
  patienceOf,
  placeRelease,
  serverConfig,
  serverToken,
  untilReadyIs,
  untilSays,
  type Bench,
  type Chapter,
} from './bench.ts'

function secondConfig({ server, agent }: Bench): string {
  return `server: https://${server.ip}:6443\ntoken: ${serverToken}\nnode-ip: ${agent.ip}\nadvertise-address: ${agent.ip}\nflannel-iface: eth0\n`
}

/** On the same two hosts, after both were uninstalled. */
export const twoServers: Chapter = {
  title: 'two servers with embedded etcd',
  rows: [
    {
      fact: 'k3s.md §7.1; k3s-observed.md 18',
      claim: 'a second server joins the first by the short token and both are Ready with the etcd role',
      run: async bench => {
        const { server, agent } = bench
        for (const host of [server, agent]) {
          await placeRelease(bench, host, true)
          await host.must('rm -rf /etc/rancher')
        }
        await server.put(configFile, serverConfig(bench, 'cluster-init: true\n'), '600')
        await agent.put(configFile, secondConfig(bench), '600')
        await server.must(`${installScript('server')}; systemctl start --no-block k3s`)
        await untilReadyIs(bench, server, 'True')
        await agent.must(`${installScript('server')}; systemctl start --no-block k3s`)
        await untilReadyIs(bench, agent, 'True')
        const names = [server, agent].map(host => `node/${host.name}`).toSorted()
        const labelled = 'k3s kubectl get nodes -l node-role.kubernetes.io/etcd=true -o name | sort'
        await untilSays(bench, server, labelled, names.join('\n'))
      },
    },
    {
      fact: 'k3s.md §7.3 no. 5',
      claim: 'each says EtcdIsVoter',
      not: from('1.26.0'),
      run: async bench => {
        const wait =
          'k3s kubectl wait --for=condition=EtcdIsVoter nodes --selector=node-role.kubernetes.io/etcd=true --timeout=60s'
        expect((await bench.server.must(wait)).split('\n')).toHaveLength(2)
      },
    },
    {
      fact: 'DEPLOY.md "Servers"',
      claim: 'each is annotated with its etcd name and address',
      run: async bench => {
        const path = '{.metadata.annotations.etcd\\.k3s\\.cattle\\.io/node-address}'
        for (const host of [bench.server, bench.agent])
          expect(await bench.server.must(['k3s', 'kubectl', 'get', 'node', host.name, '-o', `jsonpath=${path}`])).toBe(
            host.ip,
          )
      },
    },
    {
      fact: 'k3s.md §7.2',
      claim: 'both answer kubectl by themselves, with one token and one authority',
      run: async ({ server, agent }) => {
        const names = 'k3s kubectl get nodes -o name | sort'
        expect(await agent.must(names)).toBe(await server.must(names))
        const token = 'cat /var/lib/rancher/k3s/server/token'
        expect(await agent.must(token)).toBe(await server.must(token))
      },
    },
    {
      fact: 'k3s.md §7.1',
      claim: 'once there are data, server: and cluster-init no longer count',
      run: async bench => {
        const { agent } = bench
        await agent.put(configFile, secondConfig(bench).replace(/^server:.*\n/, ''), '600')
        await agent.must('systemctl stop k3s; systemctl start --no-block k3s')
        await eventually('an answer of the restarted server', patienceOf(bench), async () => {
          const { stdout } = await agent.exec('k3s kubectl get nodes -o name')
          return stdout.trim().split('\n').length === 2 ? true : undefined
        })
      },
    },
  ],
}
