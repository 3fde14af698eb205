import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { request } from 'node:https'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { requireProgram } from '../../scripts/lab/debian.ts'
import { KiB } from '../../src/core/bytes.ts'
import { cloudimg, cloudimgFailure, cloudimgJson, type CloudimgPlace } from '../support/cloudimg.ts'
import { eventually } from '../support/command.ts'
import { type Lab, type LabHost, startLab } from '../support/lab.ts'
import { type RealRegistry, startRealRegistry } from '../support/real-registry.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'
import { makeStandinRelease } from '../support/standin-release.ts'
import { pushWorkloadImage, workloadImage } from '../support/workload-images.ts'

// The commands are those of docs/cluster-registry.md. Two hosts without a way out; a registry of distribution on the server, or one
// with TLS and a login on the operator's address.

const version = 'v1.31.4+k3s1'
const page = resolve(import.meta.dirname, '../../docs/cluster-registry.md')

let scratch: Scratch
let lab: Lab
let hub: RealRegistry
let server: LabHost
let agent: LabHost
/** As the pod names it: of a registry that is gone. */
let image: string
const at = (...parts: string[]): string => join(scratch.path, ...parts)

beforeAll(async () => {
  scratch = await makeScratch()
  await makeStandinRelease(at('release'), { tag: version, arches: ['amd64'], size: 8 * 1024 * KiB })
  const source = await startRealRegistry()
  image = `${source.host}/team/web:1`
  await pushWorkloadImage(image, workloadImage({ arches: ['amd64'], layers: [['web', 200 * KiB]], runs: true }))
  await build()
  await source.stop()
  lab = await startLab(2)
  ;[server, agent] = [lab.host('node1'), lab.host('node2')]
  hub = await startRealRegistry({ auth: 'basic', tls: true, address: lab.operatorIp })
})
afterAll(async () => {
  await hub?.stop()
  await lab?.[Symbol.asyncDispose]()
  await scratch[Symbol.asyncDispose]()
})

/** The Kubefile of the page, with Debian's registry. */
async function build(): Promise<void> {
  const [, kubefile = ''] = /```dockerfile\n(.*?)```/s.exec(await readFile(page, 'utf8')) ?? []
  await mkdir(at('context/manifests'), { recursive: true })
  await copyFile(
    await requireProgram({ program: 'docker-registry', package: 'docker-registry' }),
    at('context/registry'),
  )
  await writeFile(at('context/manifests/imageList'), `${image}\n`)
  await writeFile(at('Kubefile'), kubefile)
  const flags = ['-f', at('Kubefile'), '--mirror', `k3s=${at('release')}`, '-t', 'k3s:v1.31.4']
  await cloudimgJson(['build', ...flags, '--platform', 'linux/amd64', at('context')], place())
}

function place(): CloudimgPlace {
  const env = hub === undefined ? {} : { HUB_PASSWORD: hub.credentials.password }
  return { home: at('home'), env, timeoutMs: 300_000 }
}

/** The commands of the page about one registry, for this lab. */
async function commandsAbout(registry: string): Promise<readonly (readonly string[])[]> {
  const text = await readFile(page, 'utf8')
  const part = text.slice(text.indexOf(`\n## ${registry}\n`) + 1).split('\n## ')[0]!
  const lines = [...part.matchAll(/```sh\n(.*?)```/gs)].flatMap(([, block]) => block!.trim().split('\n'))
  return lines.map(line => {
    const [, ...words] = line
      .replaceAll('10.0.0.1', server.ip)
      .replaceAll('10.0.0.2', agent.ip)
      .replaceAll('https://hub.example', hub.url)
      .replaceAll('hub-ca.pem', hub.caFile!)
      .replaceAll(' nodes ', ` ${hub.credentials.user} `)
      .split(' ')
    return [...words, ...reach()]
  })
}

function reach(): readonly string[] {
  return ['-F', lab.ssh.configFile, '--allow-stand-in', '--timeout', '240']
}

interface Answer {
  readonly changed: boolean
  readonly cluster: string
}

async function reset(): Promise<void> {
  const choice = ['--server', server.ip, '-F', lab.ssh.configFile]
  const { cluster } = await cloudimgJson<Answer>(['status', ...choice], place())
  await cloudimgJson(['reset', ...choice, '--confirm', cluster], place())
}

/** A pod on that node; its node's journal says where the image came from. */
async function pullOn(host: LabHost, unit: string): Promise<string> {
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: `web-${host.name}` },
    spec: { nodeName: host.name, containers: [{ name: 'web', image }] },
  }
  const kubectl = '/usr/local/bin/k3s kubectl'
  await server.must(`${kubectl} apply -f -`, { input: JSON.stringify(pod) })
  await server.must(`${kubectl} wait --for=condition=Ready pod/web-${host.name} --timeout=120s`, { timeoutMs: 150_000 })
  return await eventually('the pull in the journal', 30_000, async () => {
    const journal = await host.must(`journalctl -o cat --no-pager -u ${unit}`)
    return [...journal.matchAll(/Pulled image .* from (\S+?)"?$/gm)].at(-1)?.[1]
  })
}

async function grep(host: LabHost, text: string): Promise<readonly string[]> {
  const { stdout } = await host.exec(
    `grep -rlF -e ${JSON.stringify(text)} /etc /var/lib/cloudimg /run/cloudimg-deploy /var/lib/rancher /var/log 2>/dev/null || true`,
  )
  return stdout.split('\n').filter(line => line !== '')
}

describe('a managed registry', { timeout: 400_000 }, () => {
  it('gives an agent the images that it was not sent', async () => {
    const [run] = await commandsAbout('managed')
    expect(await cloudimgJson<Answer>(run!, place())).toMatchObject({ changed: true })
    expect(await agent.must('ls /var/lib/cloudimg/current/images')).not.toContain('oci')
    expect(await agent.must('/usr/local/bin/k3s ctr images ls -q')).not.toContain(image)
    const host = image.split('/')[0]!.replace(':', '_')
    expect(await pullOn(agent, 'k3s-agent')).toBe(`https://${server.ip}:5443/v2/${host}`)
    expect(await cloudimgJson<Answer>(run!, place())).toMatchObject({ changed: false })
  })

  it('lets nobody in who shows no certificate of the cluster, and takes nothing', async () => {
    const ask = async (method: string, path: string, client: object): Promise<number | string> =>
      await new Promise(resolve => {
        const url = `https://${server.ip}:5443${path}`
        const outgoing = request(url, { method, rejectUnauthorized: false, agent: false, ...client }, response => {
          response.resume()
          resolve(response.statusCode ?? 0)
        })
        outgoing.once('error', error => resolve(error.message))
        outgoing.end()
      })
    expect(await ask('GET', '/v2/', {})).toEqual(expect.any(String))
    const read = (name: string): Promise<string> => agent.must(`cat /etc/rancher/k3s/registry/${name}`)
    const client = { cert: await read('client.crt'), key: await read('client.key'), ca: await read('ca.crt') }
    expect(await ask('GET', '/v2/', { ...client, rejectUnauthorized: true })).toBe(200)
    expect(await ask('POST', '/v2/mine/blobs/uploads/', client)).toBe(405)
  })

  it('is there again after a power cut, and status says where one is not', async () => {
    await server.off()
    await server.on()
    await eventually('the registry', 60_000, async () =>
      (await server.exec('systemctl is-active --quiet cloudimg-registry k3s')).code === 0 ? true : undefined,
    )
    await server.must('systemctl stop cloudimg-registry')
    const seen = await eventually('status', 90_000, async () => {
      const { stdout, code } = await statusOf()
      return code === 9 && stdout.includes('its registry does not run') ? stdout : undefined
    })
    expect(seen).toContain('"mode":"managed"')
    const [run] = await commandsAbout('managed')
    expect(await cloudimgJson<Answer>(run!, place())).toMatchObject({ changed: true })
    await server.must('systemctl is-active cloudimg-registry')
  })

  it('is gone after a reset', async () => {
    const placed =
      '/etc/rancher /etc/systemd/system/cloudimg-registry.service /usr/local/bin/registry /var/lib/cloudimg/*'
    await reset()
    for (const host of lab.hosts) expect((await host.exec(`ls -d ${placed} 2>/dev/null`)).stdout).toBe('')
  })
})

describe('a registry with TLS and a login', { timeout: 400_000 }, () => {
  it('is asked before anything is changed, is pushed to where that is asked for, and gives every node its images', async () => {
    const [preflight, run, again] = await commandsAbout('A registry of your own')
    const refused = await cloudimgFailure(
      run!.filter(word => word !== '--registry-push'),
      place(),
    )
    expect(refused).toMatchObject({ exit: 7, code: 'HOST_UNSUITABLE' })
    expect(refused.message).toContain('[registry-images]')
    const wrong = await cloudimgFailure(run!, { ...place(), env: { HUB_PASSWORD: 'wrong' } })
    expect(wrong.message).toContain('[registry-login]')
    const trusted = run!.filter((word, index) => word !== '--registry-ca' && run![index - 1] !== '--registry-ca')
    expect((await cloudimgFailure(trusted, place())).message).toContain('[registry-silent]')
    expect(await server.exec('ls -A /var/lib/cloudimg')).toMatchObject({ stdout: '' })
    expect(await cloudimgJson<Answer>(run!, place())).toMatchObject({ changed: true })
    await cloudimgJson(preflight!, place())
    for (const [host, unit] of [
      [server, 'k3s'],
      [agent, 'k3s-agent'],
    ] as const) {
      expect(await host.must('ls /var/lib/cloudimg/current/images')).not.toContain('oci')
      expect(await pullOn(host, unit)).toBe(`${hub.url}/v2`)
    }
    expect(await cloudimgJson<Answer>(again!, place())).toMatchObject({ changed: false })
  })

  it('keeps its password in one file of each host, closed to others', async () => {
    for (const host of lab.hosts) {
      const files = await grep(host, hub.credentials.password)
      for (const file of files) expect(await host.must(`stat -c %a ${file}`)).toBe('600')
      expect(files).toContain('/etc/rancher/k3s/registries.yaml')
      expect(files.filter(file => file.startsWith('/var/lib/cloudimg') || file.startsWith('/run'))).toEqual([])
    }
  })
})

async function statusOf(): Promise<{ readonly code: number; readonly stdout: string }> {
  return await cloudimg(['status', '--server', server.ip, '-F', lab.ssh.configFile, '--json'], place())
}
