import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { digestOf } from '../../src/core/digest.ts'
import { performAction, planAction } from '../../src/deploy/act.ts'
import type { Action } from '../../src/deploy/action.ts'
import { runAction } from '../../src/deploy/actions/run.ts'
import { realEnds } from '../../src/deploy/ends.ts'
import { closeEndpoint, type Endpoint, openEndpoint, share } from '../../src/deploy/fanout/endpoint.ts'
import { type FetchedFile, fetchFile } from '../../src/deploy/fanout/fetch-file.ts'
import { parseInventory } from '../../src/deploy/inventory.ts'
import { send } from '../../src/deploy/phases/send.ts'
import type { ActionRequest } from '../../src/deploy/request.ts'
import type { HttpClient, HttpServer } from '../../src/host/facts.ts'
import { connectHost } from '../../src/host/connect.ts'
import { parseHostAddress } from '../../src/host/address.ts'
import type { Host } from '../../src/host/host.ts'
import { temporaryOf } from '../../src/host/upload.ts'
import { must } from '../support/command.ts'
import { type Lab, type LabHost, startLab } from '../support/lab.ts'
import { releaseImage, type ReleaseImage } from '../support/release-image.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'
import { testContext } from '../support/test-context.ts'

const programBytes = 24 * 1024 * 1024

let scratch: Scratch
let lab: Lab
let release: ReleaseImage
const connected: Host[] = []
beforeAll(async () => {
  scratch = await makeScratch()
  release = await releaseImage(scratch.path, undefined, programBytes)
  lab = await startLab(3)
  for (const { name } of lab.hosts)
    connected.push(await connectHost(parseHostAddress(name), { configFile: lab.ssh.configFile }, testContext()))
  // The first has all, the second the other program of each kind, the third can fetch nothing.
  await lab.hosts[1]!.must('rm /usr/bin/curl /usr/bin/busybox')
  await lab.hosts[2]!.must('rm /usr/bin/curl /usr/bin/wget')
})
afterAll(async () => {
  await Promise.all(connected.map(host => host.close()))
  await lab?.[Symbol.asyncDispose]()
  await scratch[Symbol.asyncDispose]()
})

/** What of the fan-out is on a host: processes, units, listening ports of its range, files. */
async function remains(host: LabHost): Promise<string> {
  return await host.must(`
    ps -eo args | grep -E '[h]ttpd|[h]ttp.server' || true
    systemctl list-units --all --no-legend --plain 'cloudimg-fanout*'
    awk '$4 == "0A" { split($2, at, ":"); print at[2] }' /proc/net/tcp /proc/net/tcp6 | grep -i '^[ef]' || true
    find /var/lib/cloudimg /run -name '*fanout*' -o -name '*.pack' -o -name 'lock-*' 2>/dev/null || true`)
}

/** As /proc/net/tcp has it. */
function hexAddress(ip: string): string {
  const bytes = ip.split('.').map(Number).reverse()
  return Buffer.from(bytes).toString('hex').toUpperCase()
}

describe('a file on its way from one host to another', () => {
  const content = Buffer.alloc(20 * 1024 * 1024, 'some bytes of a cluster image ')
  const digest = digestOf(content)
  const from = '/var/lib/cloudimg/rootfs/x/images/a.tar'
  const file: FetchedFile = { to: '/var/lib/cloudimg/rootfs/y/a.tar', mode: 0o640, digest, size: content.length }
  const ctx = testContext()

  async function open(server: number, kind: HttpServer, lifetimeSeconds?: number): Promise<Endpoint> {
    const address = lab.hosts[server]!.ip
    await lab.hosts[server]!.put(from, content, '600')
    const wish = { address, server: kind, ...(lifetimeSeconds === undefined ? {} : { lifetimeSeconds }) }
    const endpoint = await openEndpoint(connected[server]!, wish, ctx)
    await share(connected[server]!, from, digest, ctx)
    return endpoint
  }

  async function take(receiver: number, client: HttpClient, { url }: Endpoint): Promise<void> {
    await fetchFile(connected[receiver]!, file, { url, client, seconds: 60 }, ctx)
    const host = lab.hosts[receiver]!
    expect(
      await host.must(`sha256sum ${file.to} | cut -d ' ' -f 1; stat -c '%a %u' ${file.to}; ls -A ${dirname(file.to)}`),
    ).toBe(`${digest.slice(7)}\n640 0\na.tar`)
    await host.must('find /var/lib/cloudimg -mindepth 1 -delete')
  }

  it.each([
    ['busybox', 0, 'wget', 1],
    ['python3', 1, 'curl', 0],
  ] as const)('served by %s, fetched by %s', async (kind, server, client, receiver) => {
    const endpoint = await open(server, kind)
    const { url } = endpoint
    const peer = lab.hosts[server]!
    await take(receiver, client, endpoint)
    // Nothing but that file, from nowhere but that address; neither its path nor anything else is told.
    const base = url.slice(0, url.lastIndexOf('/') + 1)
    const code = async (target: string): Promise<string> =>
      (await lab.hosts[0]!.exec(['curl', '-s', '-o', '/dev/null', '--path-as-is', '-w', '%{http_code}', target])).stdout
    expect(await code(`${url}/${digest.slice(7)}`)).toBe('200')
    for (const other of [
      base,
      `${url}/`,
      `${base}${'0'.repeat(32)}/${digest.slice(7)}`,
      `${url}/../../etc/passwd`,
      `${url}/../../../../etc/passwd`,
    ])
      expect(await code(other)).toMatch(/^(?:40[0-9]|30[0-9])$/)
    expect(await code(url.replace(peer.ip, lab.hosts[2]!.ip))).toBe('000')
    const port = Number(new URL(url).port).toString(16).toUpperCase()
    const listens = `awk '$4 == "0A" && $2 ~ /:${port}$/ { print $2 }' /proc/net/tcp /proc/net/tcp6`
    expect(await peer.must(listens)).toBe(`${hexAddress(peer.ip)}:${port}`)
    const secret = url.slice(-32)
    expect(await peer.must(`ps -eo args | grep -c '[${secret[0]}]${secret.slice(1)}' || true`)).toBe('0')
    expect(await peer.must(`journalctl --no-pager | grep -c ${secret} || true`)).toBe('0')
    const pid = await peer.must('systemctl show -p MainPID --value cloudimg-fanout')
    const rights = `awk '/^Cap(Eff|Prm|Bnd)/ { print $2 }' /proc/${pid}/status | sort -u`
    expect(await peer.must(rights)).toBe('0000000000000000')
    const view = `cd /proc/${pid}/root && find etc root home var -type f -not -path 'var/lib/cloudimg/rootfs/*' 2>/dev/null || true`
    expect(await peer.must(view)).toBe('etc/ld.so.cache')
    await closeEndpoint(connected[server]!, ctx)
    expect(await remains(peer)).toBe('')
  })

  it('goes on where it stopped, and is thrown away where other bytes came', async () => {
    const endpoint = await open(0, 'busybox')
    const part = temporaryOf(file)
    await lab.hosts[0]!.put(part, content.subarray(0, content.length - 1000))
    const before = Number(await lab.hosts[0]!.must('cat /sys/class/net/lo/statistics/rx_bytes'))
    await fetchFile(connected[0]!, file, { ...endpoint, client: 'curl', seconds: 60 }, ctx)
    const after = Number(await lab.hosts[0]!.must('cat /sys/class/net/lo/statistics/rx_bytes'))
    expect(after - before).toBeLessThan(content.length / 10)
    const lie = { ...file, digest: digestOf('other'), to: `${file.to}.2` }
    await share(connected[0]!, from, lie.digest, ctx)
    const lied = fetchFile(connected[0]!, lie, { ...endpoint, client: 'curl', seconds: 60 }, ctx)
    await expect(lied).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
    const cut = fetchFile(connected[0]!, { ...lie, size: 5_000_000 }, { ...endpoint, client: 'curl', seconds: 60 }, ctx)
    await expect(cut).rejects.toMatchObject({ code: 'COMMAND_FAILED' })
    expect(await lab.hosts[0]!.must(`find /var/lib/cloudimg/rootfs/y -size +6M | sort`)).toBe(file.to)
    await closeEndpoint(connected[0]!, ctx)
  })

  it('ends by itself, with all that was served, when nobody ends it', async () => {
    await open(0, 'busybox', 2)
    const gone = `i=0; while [ -e /run/cloudimg-fanout ] || systemctl is-active --quiet cloudimg-fanout; do i=$((i+1)); [ $i -lt 100 ] || { ls -lR /run/cloudimg-fanout >&2; exit 1; }; sleep 0.1; done`
    await lab.hosts[0]!.must(gone)
    expect(await remains(lab.hosts[0]!)).toBe('')
    await closeEndpoint(connected[0]!, ctx)
    expect(await remains(lab.hosts[0]!)).toBe('')
    for (const host of lab.hosts) await host.must('find /var/lib/cloudimg -mindepth 1 -delete')
  })
})

/** What `run` does until the files are there; that hosts with all their files become a cluster is seen elsewhere. */
const sending: Action = { ...runAction, phases: [send], leaves: 'nothing' }

describe('a run with --fanout', () => {
  function request(): ActionRequest {
    const [server, ...agents] = lab.hosts.map(host => host.name)
    return {
      image: release.image,
      inventory: parseInventory([server!], agents),
      ssh: { configFile: lab.ssh.configFile },
      wishes: { allowStandIn: release.standIn, fanOut: true },
      limits: { timeoutSeconds: 240 },
      stateHome: join(scratch.path, 'state'),
    }
  }

  it('says which host gets a file from whom', async () => {
    const { plan } = await planAction(sending, request(), realEnds, testContext())
    const ways = plan.phases[0]!.steps.filter(step => step.id.endsWith('/bin/k3s')).map(step => step.sentence)
    expect(ways.map(way => way.replace(/^.*MiB, /, ''))).toEqual([
      'from a host that has it',
      'from a host that has it',
      'directly: there is neither curl nor wget',
    ])
  })

  it('sends the image twice, not three times, and leaves nothing of it', async () => {
    const before = await sentBytes()
    const ctx = testContext()
    const result = await performAction(sending, request(), realEnds, ctx)
    const sent = (await sentBytes()) - before
    const bundle = release.image.platforms[0]!
    const tree = await bundle.listRootfs(ctx)
    const bytes = tree.reduce((sum, entry) => sum + (entry.type === 'file' ? entry.size : 0), 0)
    // Once to the first of two that take from each other, once to the one that cannot.
    expect(sent).toBeGreaterThan(2 * bytes)
    expect(sent).toBeLessThan(2.6 * bytes)
    for (const host of lab.hosts) expect(await remains(host)).toBe('')
    const journal = await readFile(result.journal!, 'utf8')
    expect(journal + JSON.stringify(ctx.seen)).not.toMatch(/http:\/\/[0-9.]+:6\d{4}/)
    expect(await performAction(sending, request(), realEnds, testContext())).toMatchObject({ changed: false })
  })

  /** By this machine to the lab's hosts, whatever for. */
  async function sentBytes(): Promise<number> {
    const [, link] = (await must(['ip', '-o', 'addr', 'show', 'to', lab.operatorIp])).split(/\s+/)
    return Number(await readFile(`/sys/class/net/${link}/statistics/tx_bytes`, 'utf8'))
  }
})
