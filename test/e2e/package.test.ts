import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cloudimg, cloudimgEnvironment } from '../support/cloudimg.ts'
import { must } from '../support/command.ts'
import { type Lab, type LabHost, startLab } from '../support/lab.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'
import { makeStandinRelease } from '../support/standin-release.ts'

const checkout = resolve(import.meta.dirname, '../..')

// The package as it would be published, installed from its tarball on a host that has Node and no way out; there
// `cloudimg run` without hosts makes that very machine the cluster.
describe('the package', () => {
  let scratch: Scratch
  let lab: Lab
  let host: LabHost
  let files: readonly string[]

  beforeAll(async () => {
    scratch = await makeScratch()
    const packing = ['npm', 'run', '--silent', 'package', '--', '--silent', '--pack-destination', scratch.path]
    await must(packing, { cwd: checkout, env: npmEnvironment() })
    const tarball = join(scratch.path, 'cloudimg-0.1.0.tgz')
    files = (await must(['tar', '-tzf', tarball])).split('\n').map(path => path.replace(/^package\//, ''))
    const installed = join(scratch.path, 'installed')
    await mkdir(installed)
    await writeFile(join(installed, 'package.json'), '{"private":true}')
    await must(['npm', 'install', '--silent', '--ignore-scripts', tarball], {
      cwd: installed,
      env: npmEnvironment(),
      timeoutMs: 180_000,
    })
    lab = await startLab(['alone'])
    host = lab.host('alone')
    await must(['tar', '-C', scratch.path, '-czf', join(scratch.path, 'installed.tgz'), 'installed'])
    await host.put('/root/installed.tgz', await readFile(join(scratch.path, 'installed.tgz')))
    await host.must('tar -C /opt -xzf /root/installed.tgz')
  })
  afterAll(async () => {
    await lab?.[Symbol.asyncDispose]()
    await scratch?.[Symbol.asyncDispose]()
  })

  const onHost = (args: string) =>
    host.must(`/usr/local/bin/node /opt/installed/node_modules/.bin/cloudimg ${args}`, { timeoutMs: 240_000 })

  it('carries compiled code, the installer and the templates, and neither sources, tests nor a Node', () => {
    expect(files).toEqual(
      expect.arrayContaining([
        'bin/cloudimg.js',
        'dist/cli/main.js',
        'dist/index.d.ts',
        'scripts/cloudimg-node',
        'scripts/run/enter',
        'rootfs-templates/k3s/rootfs.yaml',
        'LICENSE',
        'README.md',
      ]),
    )
    expect(files.filter(path => /^(src|test|scripts\/(?!cloudimg-node|run\/)|node_modules)/.test(path))).toEqual([])
  })

  it('runs as installed', async () => {
    expect(await onHost('--version')).toBe('0.1.0')
  })

  it('builds, with a RUN', async () => {
    const context = join(scratch.path, 'run')
    await mkdir(context)
    await writeFile(join(context, 'Kubefile'), 'FROM scratch\nRUN echo ran >from-run\n')
    const home = join(scratch.path, 'builder')
    const env = { ...cloudimgEnvironment({ home }), PATH: process.env.PATH ?? '' }
    const program = join(scratch.path, 'installed/node_modules/.bin/cloudimg')
    await mkdir(home)
    await must([process.execPath, program, 'build', '-t', 'run:1', context], { env, timeoutMs: 120_000 })
    await must([process.execPath, program, 'unpack', 'run:1', join(home, 'tree')], { env })
    expect(await readFile(join(home, 'tree/from-run'), 'utf8')).toBe('ran\n')
  })

  it('deploys an archive on the machine it runs on', async () => {
    const place = { home: join(scratch.path, 'operator'), cwd: scratch.path }
    const release = join(scratch.path, 'release')
    await mkdir(release)
    await makeStandinRelease(release, { tag: 'v1.31.4+k3s1', arches: ['amd64'] })
    await writeFile(join(scratch.path, 'Kubefile'), 'FROM scratch\nBASE k3s@v1.31.4+k3s1\n')
    const flags = ['--mirror', `k3s=${release}`, '--platform', 'linux/amd64']
    expect(await cloudimg(['build', '-t', 'k3s:v1', ...flags, scratch.path], place)).toMatchObject({ code: 0 })
    expect(await cloudimg(['save', '-o', 'k3s.tar', 'k3s:v1'], place)).toMatchObject({ code: 0 })
    await host.put('/root/k3s.tar', await readFile(join(scratch.path, 'k3s.tar')))
    expect(await onHost('load -i /root/k3s.tar')).toContain('loaded docker.io/library/k3s:v1@sha256:')
    expect(await onHost('run k3s:v1 --allow-stand-in')).toContain('is up')
    expect(await host.must('/usr/local/bin/k3s kubectl get nodes --no-headers')).toMatch(/^alone\s+Ready\s/)
    expect(await onHost('run k3s:v1 --allow-stand-in')).toContain('nothing was changed')
  })
})

/** npm's own settings stay; the Node that runs it is the checkout's. */
function npmEnvironment(): Record<string, string> {
  const inherited = Object.entries(process.env).filter((pair): pair is [string, string] => pair[1] !== undefined)
  return { ...Object.fromEntries(inherited), PATH: `${join(checkout, 'node_modules/.bin')}:${process.env.PATH ?? ''}` }
}
