import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cloudimg, cloudimgFailure, cloudimgJson, type CloudimgPlace } from '../support/cloudimg.ts'
import { type Lab, type LabHost, startLab } from '../support/lab.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'
import { type StandinDatastore, startStandinDatastore } from '../support/standin-datastore.ts'
import { makeStandinRelease } from '../support/standin-release.ts'

const page = await readFile(resolve(import.meta.dirname, '../../docs/datastore.md'), 'utf8')
const commands = [...page.matchAll(/^\$ cloudimg (.*)$/gm)].map(([, command]) => command!)

/** Large enough to travel as a file of its own, small enough for three hosts. */
const size = 8 * 1024 * 1024
const database = '/var/lib/rancher/k3s/server/db'

let scratch: Scratch
let lab: Lab
let place: CloudimgPlace
let cluster = ''
let snapshot = ''
beforeAll(async () => {
  scratch = await makeScratch()
  lab = await startLab(3)
  place = { home: join(scratch.path, 'home'), cwd: join(scratch.path, 'context'), timeoutMs: 280_000 }
  const release = join(scratch.path, 'release')
  await mkdir(release)
  await makeStandinRelease(release, { tag: 'v1.31.4+k3s1', arches: ['amd64'], size })
  await mkdir(join(place.home, 'xdg/config/cloudimg'), { recursive: true })
  await writeFile(join(place.home, 'xdg/config/cloudimg/config.yaml'), `mirrors: ['k3s=${release}']\n`)
  await mkdir(place.cwd!)
  await writeFile(join(place.cwd!, 'Kubefile'), 'FROM scratch\nBASE k3s@v1.31.4+k3s1\n')
  await cloudimgJson(['build', '-t', 'k3s:v1.31.4', '--platform', 'linux/amd64', '.'], place)
})
afterAll(async () => {
  await lab?.[Symbol.asyncDispose]()
  await scratch?.[Symbol.asyncDispose]()
})

interface Answer {
  readonly cluster: string
  readonly changed: boolean
  readonly snapshot: { readonly id: string; readonly datastore: string; readonly directory: string }
  readonly kept: readonly { readonly id: string; readonly reason: string; readonly datastore: string }[]
}

/** The page's names become the lab's. */
function argvOf(command: string): readonly string[] {
  const said = command
    .replaceAll(/10\.0\.0\.(\d)/g, (_, number: string) => lab.hosts[Number(number) - 1]!.ip)
    .replaceAll('20260102T030405Z-a1b2c3', snapshot)
    .replaceAll('c-0123456789ab', cluster)
  return [...said.split(' '), '-F', lab.ssh.configFile, ...(said.startsWith('run ') ? ['--allow-stand-in'] : [])]
}

async function answerTo(command: string): Promise<Answer> {
  return await cloudimgJson<Answer>(argvOf(command), place)
}

/** The page's command that begins so. */
function ofPage(beginning: string): string {
  const found = commands.find(command => command.startsWith(beginning))
  if (found === undefined) throw new Error(`docs/datastore.md has no command "cloudimg ${beginning}…"`)
  return found
}

async function write(host: LabHost, name: string): Promise<void> {
  await host.put(`/root/${name}.yaml`, `apiVersion: v1\nkind: Namespace\nmetadata: { name: ${name} }\n`)
  await host.must(`k3s kubectl apply -f /root/${name}.yaml`)
}

async function has(host: LabHost, name: string): Promise<boolean> {
  return (await host.must('k3s kubectl get namespaces -o name')).split('\n').includes(`namespace/${name}`)
}

async function ready(host: LabHost): Promise<number> {
  return ((await host.must('k3s kubectl get nodes --no-headers')).match(/ Ready /g) ?? []).length
}

describe('the datastore of a cluster', { timeout: 600_000 }, () => {
  it('is copied while there is one server, and converted for more', async () => {
    const { hosts } = lab
    cluster = (await answerTo('run k3s:v1.31.4 --servers 10.0.0.1')).cluster
    await write(hosts[0]!, 'before')
    const saved = await answerTo(ofPage('snapshot save'))
    expect(saved.snapshot.datastore).toBe('sqlite')
    expect((await readdir(saved.snapshot.directory)).toSorted()).toEqual(
      ['about.json', 'datastore', 'token'].flatMap(name => [name, `${name}.sha256`]).toSorted(),
    )
    expect(await answerTo(ofPage('run k3s:v1.31.4 --servers 10.0.0.1,10.0.0.2,10.0.0.3 --convert'))).toMatchObject({
      changed: true,
    })
    expect(await ready(hosts[2]!)).toBe(3)
    expect(await has(hosts[2]!, 'before')).toBe(true)
  })

  it('goes back to a snapshot on every server', async () => {
    const [first, second] = [lab.host('node1'), lab.host('node2')]
    snapshot = (await answerTo(ofPage('snapshot save'))).snapshot.id
    const { kept } = await answerTo(ofPage('snapshot list'))
    expect(kept.map(({ reason, datastore }) => [reason, datastore])).toEqual([
      ['on-demand', 'sqlite'],
      ['before-conversion', 'sqlite'],
      ['on-demand', 'etcd'],
    ])
    await write(second, 'later')
    const { stdout } = await cloudimg(argvOf(ofPage('snapshot restore 20260102T030405Z-a1b2c3 --dry-run')), place)
    expect(stdout).toContain('from here on nothing is taken back')
    expect(await has(first, 'later')).toBe(true)
    await answerTo(ofPage('snapshot restore 20260102T030405Z-a1b2c3 --confirm'))
    for (const host of lab.hosts) {
      expect([await has(host, 'before'), await has(host, 'later')]).toEqual([true, false])
      expect(await host.exec(`ls ${database}.before /var/lib/cloudimg/restore`)).toMatchObject({ code: 2, stdout: '' })
    }
    expect(await ready(first)).toBe(3)
  })

  it('goes on with one server where the majority is lost', async () => {
    const [first, second, third] = lab.hosts as [LabHost, LabHost, LabHost]
    const recover = ofPage('recover --server 10.0.0.2')
    const refused = await cloudimgFailure(argvOf(recover.replace(/--force-unreachable \S+ /, '')), place)
    expect(refused).toMatchObject({ exit: 7, code: 'HOST_UNSUITABLE' })
    await third.must('systemctl stop k3s')
    await first.off()
    await answerTo(recover)
    const members = await second.must('k3s kubectl get nodes -o name')
    expect(members.split('\n').toSorted()).toEqual(['node/node2', 'node/node3'])
    for (const host of [second, third]) expect(await has(host, 'before')).toBe(true)
  })

  it('takes the lost server back, once its data are gone', async () => {
    const [first] = lab.hosts as [LabHost, LabHost, LabHost]
    await first.on()
    const [, reset = ''] = /run `(sh \S+cloudimg-node reset)` there/.exec(page.replaceAll('\n', ' ')) ?? []
    await first.must(`${reset} >/dev/null 2>&1`)
    await answerTo(commands.at(-1)!)
    expect(await ready(first)).toBe(3)
    expect(await has(first, 'before')).toBe(true)
    const token = (await first.must('cat /var/lib/rancher/k3s/server/token')).split('::server:')[1]!
    const state = join(place.home, 'xdg/state/cloudimg', cluster)
    for (const name of (await readdir(state)).filter(file => file.endsWith('.jsonl')))
      expect(await readFile(join(state, name), 'utf8'), name).not.toContain(token)
    for (const host of lab.hosts)
      expect(await host.must(`journalctl --no-pager; cat /var/lib/cloudimg/journal/*`)).not.toContain(token)
  })

  it('may lie outside', async () => {
    await using outside: StandinDatastore = await startStandinDatastore(lab.operatorIp)
    await answerTo(`reset --confirm ${cluster}`)
    await writeFile(join(place.cwd!, 'endpoint'), `${outside.endpoint}\n`)
    const two = 'run k3s:v1.31.4 --servers 10.0.0.1,10.0.0.2 --datastore-endpoint-file endpoint'
    cluster = (await answerTo(two)).cluster
    expect((await outside.nodes()).toSorted()).toEqual(['node1', 'node2'])
    await write(lab.host('node1'), 'shared')
    expect(await has(lab.host('node2'), 'shared')).toBe(true)
    const found = await lab
      .host('node2')
      .must(`grep -rl "${outside.password.replace('n', '[n]')}" /etc /var/lib/cloudimg /proc/[0-9]*/cmdline`)
    expect(found).toBe('/etc/rancher/k3s/config.yaml')
  })
})
