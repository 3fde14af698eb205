import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cloudimg } from '../support/cloudimg.ts'
import { type Lab, startLab } from '../support/lab.ts'
import { type RealRegistry, startRealRegistry } from '../support/real-registry.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'
import { makeStandinRelease } from '../support/standin-release.ts'

const readme = await readFile(resolve(import.meta.dirname, '../../README.md'), 'utf8')
const lines = /```console\n([\s\S]*?)```/.exec(readme)![1]!.trimEnd().split('\n')
const carePage = await readFile(resolve(import.meta.dirname, '../../docs/care.md'), 'utf8')
const care = [.../```console\n([\s\S]*?)```/.exec(carePage)![1]!.matchAll(/^\$ cloudimg (.*)$/gm)].map(
  match => match[1]!,
)
const begin = lines.indexOf('$ cat Kubefile')
const commands = lines.filter(line => line.startsWith('$ cloudimg ')).map(line => line.slice('$ cloudimg '.length))
const kubefile = lines
  .slice(
    begin + 1,
    lines.findIndex((line, index) => index > begin && line.startsWith('$')),
  )
  .join('\n')

// The README's example as it stands, on real parts: names of registries and hosts are replaced, and what stands for the
// internet (the release) and for the reader's ssh set-up is given by configuration and flags.
describe('the example of the README, and the commands of docs/care.md after it', () => {
  let scratch: Scratch
  let registry: RealRegistry
  let lab: Lab
  let place: { home: string; cwd: string }

  beforeAll(async () => {
    scratch = await makeScratch()
    registry = await startRealRegistry()
    lab = await startLab(['server', 'agent1', 'agent2'])
    place = { home: join(scratch.path, 'home'), cwd: join(scratch.path, 'context') }
    const release = join(scratch.path, 'release')
    await mkdir(release)
    await makeStandinRelease(release, { tag: 'v1.31.4+k3s1', arches: ['amd64', 'arm64'] })
    await mkdir(join(place.home, 'xdg/config/cloudimg'), { recursive: true })
    await writeFile(join(place.home, 'xdg/config/cloudimg/config.yaml'), `mirrors: ['k3s=${release}']\n`)
    await mkdir(join(place.cwd, 'manifests'), { recursive: true })
    await writeFile(
      join(place.cwd, 'manifests/namespace.yaml'),
      'apiVersion: v1\nkind: Namespace\nmetadata: { name: hello }\n',
    )
    await writeFile(join(place.cwd, 'Kubefile'), `${kubefile}\n`)
  })
  afterAll(async () => {
    await lab?.[Symbol.asyncDispose]()
    await registry?.[Symbol.asyncDispose]()
    await scratch?.[Symbol.asyncDispose]()
  })

  it('has the commands that it is about', () => {
    expect(commands.map(command => command.split(' ')[0])).toEqual(['build', 'push', 'run', 'run'])
    expect(kubefile).toContain('BASE k3s@v1.31.4+k3s1')
  })

  it.each(commands.map((command, index) => [index + 1, command] as const))('%i: cloudimg %s', async (_, command) => {
    const hosts = new Map(lab.hosts.map((host, index) => [`10.0.0.${index + 1}`, host.ip]))
    const argv = command
      .replaceAll('registry.local:5000', registry.host)
      .replaceAll(/10\.0\.0\.\d/g, found => hosts.get(found)!)
      .split(' ')
    const here = argv[0] === 'run' ? ['-F', lab.ssh.configFile, '--allow-stand-in'] : []
    const { code, stderr } = await cloudimg([...argv, ...here], { ...place, timeoutMs: 280_000 })
    expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' })
  })

  it('ends with three nodes that are Ready', async () => {
    const nodes = await lab.host('server').must('/usr/local/bin/k3s kubectl get nodes')
    expect(nodes.match(/ Ready /g)).toHaveLength(3)
  })

  it('has the commands of docs/care.md', () => {
    expect(care.map(command => command.split(' ')[0])).toEqual([
      'status',
      'cert',
      'cert',
      'cert',
      'import',
      'import',
      'collect',
    ])
  })

  it.each(care)('cloudimg %s', async command => {
    const argv = [...command.split(' '), '-F', lab.ssh.configFile]
    const { code, stdout, stderr } = await cloudimg(argv, { ...place, timeoutMs: 280_000 })
    expect({ code, stdout, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stdout, stderr: '' })
    expect(stdout).not.toBe('')
  })
})
