import { expect } from 'vitest'
import { eventually } from '../command.ts'
import type { LabHost } from '../lab.ts'
import {
  configFile,
  from,
  installScript,
  patienceOf,
  placeRelease,
  serverConfig,
  serverToken,
  untilReadyIs,
  type Bench,
  type Chapter,
} from './bench.ts'

const db = '/var/lib/rancher/k3s/server/db'

async function start(bench: Bench, host: LabHost): Promise<void> {
  await host.must('systemctl start --no-block k3s')
  await eventually(`an answer of k3s on ${host.name}`, patienceOf(bench), async () => {
    const { code } = await host.exec('k3s kubectl get nodes')
    return code === 0 ? true : undefined
  })
}

async function write(host: LabHost, name: string): Promise<void> {
  const text = `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: ${name} }\ndata: { a: b }\n`
  await host.put(`/root/${name}.yaml`, text)
  await host.must(`k3s kubectl apply -f /root/${name}.yaml`)
}

async function written(host: LabHost): Promise<readonly string[]> {
  const names = (await host.must('k3s kubectl get configmaps -o name')).split('\n')
  return names.filter(name => name.startsWith('configmap/row-')).toSorted()
}

const reset = 'timeout 200 k3s server --cluster-reset'

/** On the two servers of the chapter before, then on one of them anew. */
export const datastore: Chapter = {
  title: 'the datastore: snapshots, a lost majority, conversion',
  rows: [
    {
      fact: 'k3s.md §7.5',
      claim: 'etcd-snapshot save makes a file below db/snapshots that bears the name, ls shows it',
      run: async bench => {
        await write(bench.server, 'row-kept')
        await bench.server.must('k3s etcd-snapshot save --name row')
        const [file = ''] = (await bench.server.must(`ls ${db}/snapshots`))
          .split('\n')
          .filter(name => name.includes(bench.server.name))
        expect(await bench.server.must('k3s etcd-snapshot ls')).toContain(file)
        await bench.server.must(
          `cp ${db}/snapshots/${file} /root/snapshot; cp ${db}/snapshots/${file} ${db}/snapshots/spare`,
        )
        await bench.server.must('k3s etcd-snapshot delete spare')
        expect(await bench.server.must(`ls ${db}/snapshots`)).not.toContain('spare')
        await write(bench.server, 'row-later')
      },
    },
    {
      fact: 'k3s.md §7.5',
      claim: 'a server that was told to join another one refuses cluster-reset',
      run: async bench => {
        const { server, agent } = bench
        await server.must('systemctl stop k3s')
        await agent.must(`systemctl stop k3s; printf 'server: https://${server.ip}:6443\\n' >> ${configFile}`)
        const refused = await agent.exec(`${reset} 2>&1`)
        expect(refused.code).not.toBe(0)
        expect(refused.stdout).toContain('cannot perform cluster-reset while server URL is set')
      },
    },
    {
      fact: 'k3s.md §7.5',
      claim: 'after cluster-reset a server is the only member, with its data; a second reset in a row is refused',
      run: async bench => {
        const { server, agent } = bench
        await server.must(`${reset} >/dev/null 2>&1`)
        expect((await server.exec(`${reset} 2>&1`)).code).not.toBe(0)
        await start(bench, server)
        expect(await written(server)).toEqual(['configmap/row-kept', 'configmap/row-later'])
        await agent.must(`rm -rf ${db}`)
        await start(bench, agent)
        expect(await written(agent)).toEqual(['configmap/row-kept', 'configmap/row-later'])
      },
    },
    {
      fact: 'k3s.md §7.2, §7.5',
      claim: 'a snapshot is restored with the token that it was taken with, and what came later is gone',
      run: async bench => {
        const { server, agent } = bench
        for (const host of [agent, server]) await host.must('systemctl stop k3s')
        const config = serverConfig(bench, 'cluster-init: true\n')
        const restore = `${reset} --cluster-reset-restore-path=/root/snapshot`
        await server.put(configFile, config.replace(serverToken, 'f'.repeat(32)), '600')
        expect((await server.exec(`${restore} 2>&1`)).code).not.toBe(0)
        await server.put(configFile, config, '600')
        await server.must(`rm -f ${db}/reset-flag; ${restore} >/dev/null 2>&1`)
        expect(await server.must(`ls ${db}`)).toMatch(/^etcd-old-\d+$/m)
        await start(bench, server)
        expect(await written(server)).toEqual(['configmap/row-kept'])
        await agent.must(`rm -rf ${db}`)
        await start(bench, agent)
        expect(await written(agent)).toEqual(['configmap/row-kept'])
      },
    },
    {
      fact: 'k3s.md §7.5',
      claim: 'the db directory of SQLite, put back while k3s is stopped, is the state that it was',
      run: async bench => {
        const { server, agent } = bench
        await agent.must('k3s-uninstall.sh >/dev/null 2>&1')
        await server.must('k3s-uninstall.sh >/dev/null 2>&1')
        await placeRelease(bench, server, true)
        await server.put(configFile, serverConfig(bench), '600')
        await server.must(installScript('server'))
        await start(bench, server)
        await write(server, 'row-kept')
        await server.must(`systemctl stop k3s; cp -a ${db} /root/db`)
        await start(bench, server)
        await write(server, 'row-later')
        await server.must(`systemctl stop k3s; rm -rf ${db}; cp -a /root/db ${db}`)
        await start(bench, server)
        expect(await written(server)).toEqual(['configmap/row-kept'])
      },
    },
    {
      fact: 'k3s.md §0, §7.1',
      claim: 'cluster-init turns the SQLite of a server that runs into etcd, with what is in it',
      not: from('1.22.2'),
      run: async bench => {
        const { server } = bench
        await server.put(configFile, serverConfig(bench, 'cluster-init: true\n'), '600')
        await server.must('systemctl stop k3s')
        await start(bench, server)
        await untilReadyIs(bench, server, 'True')
        expect(await written(server)).toEqual(['configmap/row-kept'])
        const etcd = 'k3s kubectl get nodes -l node-role.kubernetes.io/etcd=true -o name'
        await eventually('the etcd role', patienceOf(bench), async () =>
          (await server.exec(etcd)).stdout.includes(server.name) ? true : undefined,
        )
      },
    },
  ],
}
