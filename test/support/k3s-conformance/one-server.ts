import { createHash } from 'node:crypto'
import { expect } from 'vitest'
import { atLeast } from '../k3s-standin/profile.ts'
import {
  before,
  configFile,
  from,
  journalOf,
  namesOn,
  serverConfig,
  serverToken,
  untilJournalSays,
  untilReadyIs,
  untilSays,
  type Bench,
  type Chapter,
} from './bench.ts'

/** Asks this host's port 6443 without any credentials; Node is there in the lab's tree. */
async function ask(bench: Bench, path: string): Promise<{ readonly status: number; readonly body: string }> {
  const script = `require('https').get({host:'127.0.0.1',port:6443,path:process.argv[1],rejectUnauthorized:false},r=>{let b='';r.on('data',c=>b+=c).on('end',()=>console.log(JSON.stringify({status:r.statusCode,body:b})))})`
  return JSON.parse(await bench.server.must(['node', '-e', script, path])) as { status: number; body: string }
}

export const oneServer: Chapter = {
  title: 'one server',
  rows: [
    {
      fact: 'k3s-observed.md 9, 15, 16; k3s.md §7.2',
      claim: 'it becomes Ready with a token chosen beforehand, its addresses given, and no default route',
      run: async bench => {
        await bench.server.put(configFile, serverConfig(bench), '600')
        const deploy = {
          apiVersion: 'v1',
          kind: 'ConfigMap',
          metadata: { name: 'placed-before', namespace: 'default' },
        }
        await bench.server.put('/var/lib/rancher/k3s/server/manifests/placed.yaml', JSON.stringify(deploy), '600')
        await bench.server.must('echo > /etc/resolv.conf; systemctl start --no-block k3s')
        await untilReadyIs(bench, bench.server, 'True')
        await untilSays(bench, bench.server, 'systemctl is-active k3s', 'active')
      },
    },
    {
      fact: 'k3s-observed.md 16; k3s.md §8',
      claim: 'a manifest placed before the first start is applied',
      run: async ({ server }) => {
        await server.must(
          'for i in $(seq 100); do k3s kubectl get cm placed-before >/dev/null 2>&1 && exit 0; sleep 0.3; done; exit 1',
          { timeoutMs: 120_000 },
        )
      },
    },
    {
      fact: 'k3s-observed.md 19',
      claim: 'k3s.yaml has mode 0600 and names 127.0.0.1',
      run: async ({ server }) => {
        expect(await server.must('stat -c "%a %U" /etc/rancher/k3s/k3s.yaml')).toBe('600 root')
        expect(await server.must("sed -n 's/^ *server: //p' /etc/rancher/k3s/k3s.yaml")).toBe('https://127.0.0.1:6443')
      },
    },
    {
      fact: 'k3s.md §7.2',
      claim: 'token is K10, the sha256 of /cacerts, and the password; node-token is a link to it',
      run: async bench => {
        const { body } = await ask(bench, '/cacerts')
        const hash = createHash('sha256').update(body).digest('hex')
        const token = await bench.server.must('cat /var/lib/rancher/k3s/server/node-token')
        expect(token).toBe(`K10${hash}::server:${serverToken}`)
        expect(await bench.server.must('cd /var/lib/rancher/k3s/server; stat -c %a token; readlink node-token')).toBe(
          '600\n/var/lib/rancher/k3s/server/token',
        )
      },
    },
    {
      fact: 'k3s.md §7.2',
      claim: 'agent-token is there too',
      not: from('1.26.0'),
      run: async ({ server }) => {
        await server.must('cmp /var/lib/rancher/k3s/server/token /var/lib/rancher/k3s/server/agent-token')
      },
    },
    {
      fact: 'k3s-observed.md 11',
      claim: '/ping and /cacerts need no login, /readyz answers 401',
      run: async bench => {
        expect(await ask(bench, '/ping')).toEqual({ status: 200, body: 'pong' })
        expect((await ask(bench, '/cacerts')).body).toMatch(/^-----BEGIN CERTIFICATE-----/)
        expect((await ask(bench, '/readyz')).status).toBe(401)
      },
    },
    {
      fact: 'k3s.md §7.3 no. 3',
      claim: 'kubectl get --raw=/readyz says ok',
      run: async ({ server }) => expect(await server.must(['k3s', 'kubectl', 'get', '--raw=/readyz'])).toBe('ok'),
    },
    {
      fact: 'k3s.md §7.3 no. 4',
      claim: 'kubectl wait: met at once, NotFound at once, a deadline that is kept',
      run: async ({ server }) => {
        const wait = (node: string, condition: string): string =>
          `k3s kubectl wait --for=condition=${condition} node/${node} --timeout=2s 2>&1`
        expect(await server.must(wait(server.name, 'Ready'))).toBe(`node/${server.name} condition met`)
        const missing = await server.exec(wait('nobody', 'Ready'))
        expect(missing.code).toBe(1)
        expect(missing.stdout).toContain('Error from server (NotFound): nodes "nobody" not found')
        const late = await server.exec(wait(server.name, 'NoSuchCondition'))
        expect(late.code).toBe(1)
        expect(late.stdout).toContain(`timed out waiting for the condition on nodes/${server.name}`)
      },
    },
    {
      fact: 'k3s.md §7.7',
      claim: 'the node says its version, its address and its role',
      run: async ({ server, version }) => {
        const path =
          '{.status.nodeInfo.kubeletVersion} {.status.addresses[?(@.type=="InternalIP")].address} {.metadata.labels.node-role\\.kubernetes\\.io/control-plane}'
        const said = await server.must(['k3s', 'kubectl', 'get', 'node', server.name, '-o', `jsonpath=${path}`])
        expect(said).toBe(`${version} ${server.ip} true`)
      },
    },
    {
      fact: 'k3s.md §6.2 cluster-init',
      claim: 'a lone server keeps its data in SQLite and has no etcd role',
      run: async ({ server }) => {
        await server.must(
          'test -f /var/lib/rancher/k3s/server/db/state.db; ! test -e /var/lib/rancher/k3s/server/db/etcd/member',
        )
        expect(await server.must('k3s kubectl get nodes -l node-role.kubernetes.io/etcd=true -o name')).toBe('')
      },
    },
    {
      fact: 'k3s-observed.md 1, 2; k3s.md §4.2',
      claim: 'every image of k3s-images.txt is there by its full name, and the journal says so',
      run: async ({ server, images }) => {
        expect(await namesOn(server)).toEqual(expect.arrayContaining([...images]))
        const listed = JSON.parse(await server.must(['k3s', 'crictl', 'images', '-o', 'json'])) as {
          readonly images: readonly { readonly id: string; readonly repoTags: readonly string[] }[]
        }
        expect(listed.images.flatMap(({ repoTags }) => repoTags)).toEqual(expect.arrayContaining([...images]))
        expect(listed.images[0]?.id).toMatch(/^sha256:[0-9a-f]{64}$/)
        const journal = await journalOf(server, 'k3s')
        for (const image of images) expect(journal).toContain(`Imported ${image}`)
      },
    },
    {
      fact: 'k3s.md §4.3',
      claim: 'imported images are pinned',
      not: from('1.26.13 1.27.10 1.28.6 1.29.1'),
      run: async ({ server, images }) => {
        const listed = await server.must(['k3s', 'ctr', '-n', 'k8s.io', 'images', 'ls', `name==${images[0]}`])
        expect(listed).toContain('io.cri-containerd.pinned=pinned')
      },
    },
    {
      fact: 'k3s.md §4.3',
      claim: 'imported images are not pinned, and labelling pins them',
      not: before('1.26.13 1.27.10 1.28.6 1.29.1'),
      run: async ({ server, images }) => {
        const list = ['k3s', 'ctr', '-n', 'k8s.io', 'images', 'ls', `name==${images[0]}`]
        expect(await server.must(list)).not.toContain('pinned')
        await server.must([
          'k3s',
          'ctr',
          '-n',
          'k8s.io',
          'images',
          'label',
          images[0] ?? '',
          'io.cri-containerd.pinned=pinned',
        ])
        expect(await server.must(list)).toContain('io.cri-containerd.pinned=pinned')
      },
    },
    {
      fact: 'k3s.md §9.6',
      claim: 'with an empty /etc/resolv.conf coredns crashes, though its images are there',
      run: async ({ server }) => {
        const reason = '{.items[0].status.containerStatuses[0].state.waiting.reason}'
        const ask = `k3s kubectl -n kube-system get pods -l k8s-app=kube-dns -o jsonpath='${reason}'`
        await server.must(
          `for i in $(seq 300); do [ "$(${ask})" = CrashLoopBackOff ] && exit 0; sleep 0.5; done; exit 1`,
          {
            timeoutMs: 200_000,
          },
        )
      },
    },
    {
      fact: 'k3s.md §9.6, §16 Init',
      claim: 'with a nameserver in it, reachable or not, coredns rolls out',
      run: async ({ server }) => {
        await server.must(`echo "nameserver ${server.ip}" > /etc/resolv.conf`)
        await server.must('k3s kubectl -n kube-system delete pods -l k8s-app=kube-dns', { timeoutMs: 120_000 })
        const rollout = 'k3s kubectl -n kube-system rollout status deployment/coredns --timeout=200s'
        await server.must(rollout, { timeoutMs: 240_000 })
      },
    },
    {
      fact: 'DEPLOY.md "Apply"',
      claim: 'server-side apply, again and again',
      run: async ({ server }) => {
        const map = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'applied' }, data: { a: 'b' } }
        const apply = 'k3s kubectl apply --server-side --field-manager=cloudimg -f -'
        for (let round = 0; round < 2; round++)
          expect(await server.must(apply, { input: JSON.stringify(map) })).toBe('configmap/applied serverside-applied')
        expect(await server.must('k3s kubectl get cm applied -o jsonpath={.data.a}')).toBe('b')
        const unknown = await server.exec(`${apply} 2>&1`, {
          input: JSON.stringify({ ...map, apiVersion: 'no.such/v1', kind: 'Thing' }),
        })
        expect(unknown.code).toBe(1)
        expect(unknown.stdout).toContain('no matches for kind "Thing" in version "no.such/v1"')
      },
    },
    {
      fact: 'k3s.md §7.4; DEPLOY.md "Delete"',
      claim: 'cordon and uncordon, labels set and removed',
      run: async ({ server }) => {
        const kubectl = async (words: string): Promise<string> => await server.must(`k3s kubectl ${words}`)
        expect(await kubectl(`cordon ${server.name}`)).toBe(`node/${server.name} cordoned`)
        expect(await kubectl('get nodes')).toContain('Ready,SchedulingDisabled')
        expect(await kubectl(`uncordon ${server.name}`)).toBe(`node/${server.name} uncordoned`)
        expect(await kubectl(`label node ${server.name} example=yes`)).toBe(`node/${server.name} labeled`)
        expect(await kubectl('get nodes -l example=yes -o name')).toBe(`node/${server.name}`)
        await kubectl(`label node ${server.name} example-`)
        expect(await kubectl('get nodes -l example=yes -o name')).toBe('')
      },
    },
    {
      fact: 'k3s-observed.md 14; k3s.md §3.5',
      claim: 'install.sh once more, unchanged, does not restart k3s',
      run: async ({ server }) => {
        const pid = await server.must('systemctl show k3s -p MainPID --value')
        const said = await server.must(
          'env INSTALL_K3S_SKIP_DOWNLOAD=true INSTALL_K3S_SKIP_SELINUX_RPM=true INSTALL_K3S_EXEC=server sh /root/install.sh',
        )
        expect(said).toContain('No change detected so skipping service start')
        expect(await server.must('systemctl show k3s -p MainPID --value')).toBe(pid)
      },
    },
    {
      fact: 'lab.md "Hosts"',
      claim: 'after a power cut it comes back by itself, with everything it knew',
      run: async bench => {
        await bench.server.off()
        await bench.server.on()
        await untilReadyIs(bench, bench.server, 'True')
        expect(await bench.server.must('k3s kubectl get cm applied -o jsonpath={.data.a}')).toBe('b')
      },
    },
    {
      fact: 'seen on v1.21.2',
      claim: 'stopping it fails the unit, and nobody answers on 6443',
      run: async bench => {
        const { server } = bench
        await server.must('systemctl stop k3s')
        const state = (await server.exec('systemctl is-active k3s')).stdout.trim()
        expect(state).toMatch(atLeast('1.22.0', bench.version) ? /^(?:failed|inactive)$/ : /^failed$/)
        const said = await server.exec('k3s kubectl get nodes 2>&1')
        expect(said.code).toBe(1)
        expect(said.stdout).toContain('The connection to the server 127.0.0.1:6443 was refused')
        await server.must('systemctl start --no-block k3s')
        await untilReadyIs(bench, server, 'True')
      },
    },
    {
      fact: 'k3s.md §10 no. 19',
      claim: 'once there are data, another token is refused',
      not: from('1.22.0'),
      run: async bench => {
        const { server } = bench
        await server.put(configFile, serverConfig(bench).replace(serverToken, 'another'), '600')
        await server.must('systemctl stop k3s; systemctl start --no-block k3s')
        await untilJournalSays(bench, server, 'k3s', /bootstrap data already found and encrypted with different token/)
        await server.put(configFile, serverConfig(bench), '600')
        await server.must('systemctl stop k3s; systemctl reset-failed k3s; systemctl start --no-block k3s')
        await untilReadyIs(bench, server, 'True')
      },
    },
  ],
}
