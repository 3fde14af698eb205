import { expect } from 'vitest'
import { parseCertificates } from '../../../src/runtime/certificates.ts'
import type { LabHost } from '../lab.ts'
import { atLeast } from '../k3s-standin/profile.ts'
import { eventually } from '../command.ts'
import { type Bench, type Chapter, from, patienceOf, untilReadyIs } from './bench.ts'

const tls = '/var/lib/rancher/k3s/server/tls'
/** systemd refuses a unit that is started too often; these rows do. */
const start = 'systemctl reset-failed k3s || true; systemctl start --no-block k3s'
const variable = 'CATTLE_NEW_SIGNED_CERT_EXPIRATION_DAYS'

/** Days that a certificate of the server has left, rounded. */
async function daysOf(server: LabHost, file: string): Promise<number> {
  const [certificate] = parseCertificates(`file x\n${await server.must(`cat ${tls}/${file}`)}`)
  return Math.round(((certificate?.endsAt ?? 0) - Date.now()) / 86_400_000)
}

async function restart(bench: Bench): Promise<void> {
  await bench.server.must(`systemctl stop k3s; ${start}`)
  await untilUp(bench)
}

/** Its old status says Ready from the first moment on: containerd is what comes up last. */
async function untilUp(bench: Bench): Promise<void> {
  await untilReadyIs(bench, bench.server, 'True')
  await eventually('containerd', patienceOf(bench), async () =>
    (await bench.server.exec('k3s ctr -n k8s.io images ls -q')).code === 0 ? true : undefined,
  )
}

/** Removes the leaves of the server, which is stopped, and starts it with the variable: new ones last so many days. */
async function makeLast(bench: Bench, days: number): Promise<void> {
  const { server } = bench
  await server.must('systemctl stop k3s')
  await server.put('/etc/default/k3s', `${variable}=${days}\n`)
  await server.must(`rm ${tls}/client-admin.* ${tls}/serving-kube-apiserver.*; ${start}`)
  await untilUp(bench)
  await server.must('rm /etc/default/k3s')
}

/** The variable is known from then on; v1.21.2 does not know it. */
const newest = from('1.25.0')

export const certificates: Chapter = {
  title: 'certificates of a server',
  rows: [
    {
      fact: 'k3s.md §7.6',
      claim: 'what it signs lasts a year, its authorities ten',
      run: async ({ server }) => {
        for (const file of ['client-admin.crt', 'serving-kube-apiserver.crt'])
          expect(await daysOf(server, file)).toBe(365)
        for (const file of ['server-ca.crt', 'client-ca.crt', 'request-header-ca.crt'])
          expect(await daysOf(server, file)).toBeGreaterThan(3640)
      },
    },
    {
      fact: 'k3s.md §7.6',
      claim: 'a start leaves those alone that last long',
      run: async bench => {
        const sums = `sha256sum ${tls}/client-admin.crt ${tls}/serving-kube-apiserver.crt`
        const old = await bench.server.must(sums)
        await restart(bench)
        expect(await bench.server.must(sums)).toBe(old)
      },
    },
    {
      fact: 'k3s.md §7.6, §0 May 2025',
      claim: 'a start renews those within the window and not those beyond it; the kubeconfig is written anew',
      not: newest,
      run: async bench => {
        const { server, version } = bench
        const window = atLeast('1.30.13 1.31.9 1.32.5 1.33.1', version) ? 120 : 90
        await makeLast(bench, window + 2)
        await restart(bench)
        expect(await daysOf(server, 'client-admin.crt')).toBe(window + 2)
        await makeLast(bench, window - 2)
        const old = await server.must('sha256sum /etc/rancher/k3s/k3s.yaml')
        expect(await daysOf(server, 'client-admin.crt')).toBe(window - 2)
        await restart(bench)
        for (const file of ['client-admin.crt', 'serving-kube-apiserver.crt'])
          expect(await daysOf(server, file)).toBe(365)
        expect(await server.must('sha256sum /etc/rancher/k3s/k3s.yaml')).not.toBe(old)
      },
    },
    {
      fact: 'k3s.md §7.6; k3s pull request 4632',
      claim: 'rotate sets all but the authorities aside, and the next start makes them anew',
      not: from('1.21.8 1.22.5 1.23.1'),
      run: async bench => {
        const { server } = bench
        const sum = async (file: string): Promise<string> => await server.must(`sha256sum < ${tls}/${file}`)
        const [leaf, authority] = [await sum('serving-kube-apiserver.crt'), await sum('server-ca.crt')]
        await server.must('systemctl stop k3s; k3s certificate rotate')
        await server.must(
          `test ! -e ${tls}/serving-kube-apiserver.crt; test -e ${tls}-[0-9]*/serving-kube-apiserver.crt`,
        )
        await server.must(`test ! -e /var/lib/rancher/k3s/agent/client-kubelet.crt; ${start}`)
        await untilUp(bench)
        expect(await sum('serving-kube-apiserver.crt')).not.toBe(leaf)
        expect(await sum('server-ca.crt')).toBe(authority)
        await server.must(`rm -r ${tls}-[0-9]*`)
      },
    },
    {
      fact: 'k3s.md §7.6',
      claim: 'check names certificates',
      not: from('1.30.0'),
      run: async ({ server }) => {
        const said = await server.must('k3s certificate check --output table 2>&1')
        expect(said).toContain('client-admin.crt')
        expect(said).toContain('client-kubelet.crt')
      },
    },
  ],
}
