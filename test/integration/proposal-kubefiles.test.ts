import { copyFile, cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cloudimgFailure, cloudimgJson, type CloudimgPlace } from '../support/cloudimg.ts'
import { must } from '../support/command.ts'
import { makeOrdinaryUser } from '../support/ordinary-user.ts'
import { type ReleaseServer, startReleaseServer } from '../support/release-server.ts'
import { type RunBuild, runLeftovers } from '../support/run-build.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'
import { makeTinyRelease, tinyImages } from '../support/tiny-release.ts'
import { listTree } from '../support/tree-listing.ts'

const version = 'v1.25.3+k3s1'
const kubefiles = resolve(import.meta.dirname, '../../kubefiles')
let scratch: Scratch
let server: ReleaseServer
let place: CloudimgPlace

const at = (...parts: string[]): string => join(scratch.path, ...parts)
const text = (...lines: readonly string[]): string => `${lines.join('\n')}\n`

beforeAll(async () => {
  scratch = await makeScratch()
  await must(['chmod', '755', scratch.path])
  place = { home: at('home') }
  const { tagDirectory } = await makeTinyRelease(at('release'), {
    version,
    arches: ['amd64', 'arm64'],
    binaryBytes: 5_000_000,
  })
  await copyFile(join(import.meta.dirname, '../support/online-installer.sh'), at('release/install.sh'))
  await mkdir(at('context/images'), { recursive: true })
  await mkdir(at('context/manifests'))
  await writeFile(at('context/imageList'), text('# sealed by the archive in images/', tinyImages[0]!))
  for (const arch of ['amd64', 'arm64']) {
    const archive = `k3s-airgap-images-${arch}.tar`
    await copyFile(join(tagDirectory, archive), at('context/images', archive))
  }
  await writeFile(at('context/manifests/a.yaml'), 'apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n')
  await must(['chmod', '-R', 'a+rX', at('context'), at('release')])
  server = await startReleaseServer(at('release'))
})
afterAll(async () => {
  await server[Symbol.asyncDispose]()
  await scratch[Symbol.asyncDispose]()
})

const mirrors = (base: string): readonly string[] => [
  '--mirror',
  `https://get.k3s.io=${base}/install.sh`,
  '--mirror',
  `https://github.com/k3s-io/k3s/releases/download=${base}`,
]

function online(context: string, base: string, lock: string, more: readonly string[] = []): readonly string[] {
  const file = join(kubefiles, 'k3s-online/Kubefile')
  const platforms = ['--platform', 'linux/amd64,linux/arm64']
  return [
    'build',
    context,
    '-f',
    file,
    '-t',
    'k3s:online',
    ...platforms,
    ...mirrors(base),
    '--lock-file',
    lock,
    ...more,
  ]
}

async function treeOf(name: string, image: string, platform: string): Promise<ReturnType<typeof listTree>> {
  await cloudimgJson(['unpack', image, at(name), '--platform', platform], place)
  return listTree(at(name))
}

describe('kubefiles/k3s-online', () => {
  let built: RunBuild

  beforeAll(async () => {
    built = await cloudimgJson<RunBuild>(online(at('context'), server.url, at('online.lock')), place)
  })

  it('has k3s of each platform, installed by its own script, and the rest of the context', async () => {
    for (const [platform, suffix] of [
      ['linux/amd64', ''],
      ['linux/arm64', '-arm64'],
    ] as const) {
      const tree = await treeOf(`online${suffix}`, 'k3s:online', platform)
      expect(await readFile(at(`online${suffix}/bin/k3s`))).toEqual(
        await readFile(at('release', version, `k3s${suffix}`)),
      )
      expect(tree.get('bin/k3s')).toMatchObject({ mode: '0755', owner: '0:0' })
      expect(tree.get('bin/kubectl')).toMatchObject({ linkTarget: 'k3s' })
      const own = [
        'bin',
        'bin/k3s',
        'bin/k3s-killall.sh',
        'bin/k3s-uninstall.sh',
        'manifests/imageList',
        'manifests/a.yaml',
      ]
      expect([...tree.keys()]).toEqual(expect.arrayContaining([...own, 'Metadata', 'scripts/cloudimg-node']))
      expect([...tree.keys()].filter(path => /^(?:run|tmp|etc|dev|proc|sys)\b/.test(path))).toEqual([])
      const metadata = JSON.parse(await readFile(at(`online${suffix}/Metadata`), 'utf8')) as Record<string, unknown>
      expect(metadata).toMatchObject({ runtime: 'k3s', sealed: true, unsealed: [] })
    }
  })

  it('keeps k3s as the layer that BASE would make of the same file', async () => {
    await writeFile(at('base-kubefile'), text('FROM scratch', `BASE k3s@${version}`))
    const flags = ['-f', at('base-kubefile'), '--mirror', `k3s=${at('release')}`]
    const base = await cloudimgJson<RunBuild>(['build', at('context'), ...flags], place)
    const digests = (build: RunBuild): readonly string[] => build.platforms[0]!.layers.map(layer => layer.digest)
    expect(digests(built).filter(digest => digests(base).includes(digest))).toHaveLength(1)
  })

  it('pins what it fetched, and asks nobody the next time', async () => {
    const lock = await readFile(at('online.lock'), 'utf8')
    for (const url of ['https://get.k3s.io/', `/${version}/k3s`, `/${version}/k3s-arm64`, 'sha256sum-arm64.txt'])
      expect(lock).toContain(url)
    const asked = server.seen.length
    const again = await cloudimgJson<RunBuild>(
      online(at('context'), server.url, at('online.lock'), ['--locked', '--offline']),
      place,
    )
    expect([again.index, server.seen.length]).toEqual([built.index, asked])
  })

  it('is the same for an ordinary user, without a network', async () => {
    const user = await makeOrdinaryUser(at('user'), { subordinates: 65_536 })
    await cp(at('context'), at('user/home/context'), { recursive: true })
    const args = online(at('user/home/context'), `file://${at('release')}`, at('user/home/lock'), [
      '--offline',
      '--json',
    ])
    const { code, stdout, stderr } = await user.cloudimg(args)
    expect([code, stderr]).toEqual([0, expect.stringContaining('RUN uses unshare')])
    expect((JSON.parse(stdout) as RunBuild).index).toBe(built.index)
    expect(await runLeftovers(user.place)).toEqual([])
  })

  it('stops where the release is not what its checksums, or the lock, say', async () => {
    server.setFaults({ k3s: { flip: 100 } })
    const other = await cloudimgFailure(online(at('context'), server.url, at('other.lock')), { home: at('home-2') })
    expect([other.code, other.message]).toEqual(['RUN_FAILED', expect.stringContaining('sha256 does not match')])
    const locked = await cloudimgFailure(online(at('context'), server.url, at('online.lock'), ['--locked']), {
      home: at('home-3'),
    })
    expect(['RUN_FAILED', 'DIGEST_MISMATCH', 'LOCK_MISMATCH']).toContain(locked.code)
    server.setFaults({})
  })

  it('refuses a channel, which is another version tomorrow', async () => {
    await writeFile(at('channel-kubefile'), text('FROM scratch', 'RUN curl -sfL https://get.k3s.io | sh -'))
    const args = ['build', at('context'), '-f', at('channel-kubefile'), ...mirrors(`file://${at('release')}`)]
    const { code, stderr } = await cloudimgFailure([...args, '--offline'], place)
    expect([code, stderr]).toEqual(['RUN_FAILED', expect.stringContaining('INSTALL_K3S_VERSION')])
  })
})

describe('the toolbox’s curl and wget', () => {
  const commands: readonly (readonly [command: string, file: string])[] = [
    ['curl -fsSLo out URL', 'out'],
    ['curl -sSfL --retry 3 --output out URL', 'out'],
    ['curl -fO URL', 'install.sh'],
    ['curl --create-dirs -fsSL -o a/b/out URL', 'a/b/out'],
    ['curl -s -w "%{http_code}\\n" URL -o out | grep -qx 200', 'out'],
    ['curl -s URL >out', 'out'],
    ['wget -q URL', 'install.sh'],
    ['wget -qO- URL >out', 'out'],
    ['wget --quiet --output-document=out URL', 'out'],
    ['wget -nv -P down URL', 'down/install.sh'],
    ['/usr/bin/curl -sf URL -o out', 'out'],
    ['env -i /run/cloudimg/bin/curl -s URL -o out', 'out'],
  ]

  it('take the options that scripts give them', async () => {
    const lines = commands.map(([command], index) => {
      const whole = command.replace('URL', `${server.url}/install.sh`)
      return `mkdir /rootfs/${index} && cd /rootfs/${index} && ${whole}`
    })
    await writeFile(at('tool-kubefile'), text('FROM scratch', 'RUN <<"EOF"', 'set -e', ...lines, 'EOF'))
    await cloudimgJson(
      ['build', at('context'), '-f', at('tool-kubefile'), '-t', 'tool', '--lock-file', at('tool.lock')],
      place,
    )
    await treeOf('tool', 'tool', 'linux/amd64')
    const wanted = await readFile(at('release/install.sh'), 'utf8')
    for (const [index, [command, file]] of commands.entries()) {
      expect([command, await readFile(at('tool', String(index), file), 'utf8')]).toEqual([command, wanted])
    }
  })

  it('say what they cannot', async () => {
    const lines = [
      `curl -fsS ${server.url}/nothing -o out || echo "curl $?"`,
      `wget -q ${server.url}/nothing || echo "wget $?"`,
      `curl -X POST ${server.url}/x || echo "post $?"`,
      'curl -sf ftp://127.0.0.1/x || echo "ftp $?"',
    ]
    await writeFile(at('bad-kubefile'), text('FROM scratch', 'RUN <<"EOF"', ...lines, 'exit 1', 'EOF'))
    const { stderr } = await cloudimgFailure(['build', at('context'), '-f', at('bad-kubefile')], place)
    for (const word of ['(22)', '404', 'curl 22', 'wget 22', 'knows no -X', 'post 2', 'http and https only', 'ftp 1']) {
      expect(stderr).toContain(word)
    }
  })
})

describe('the proposal’s other Kubefiles', () => {
  it('k3s-offline: nothing is fetched', async () => {
    await cp(at('context'), at('offline'), { recursive: true })
    await mkdir(at('offline/bin'))
    await copyFile(at('release', version, 'k3s'), at('offline/bin/k3s'))
    const file = join(kubefiles, 'k3s-offline/Kubefile')
    await cloudimgJson(['build', at('offline'), '-f', file, '-t', 'offline', '--offline'], place)
    const tree = await treeOf('offline-tree', 'offline', 'linux/amd64')
    expect([...tree.keys()]).toEqual(
      expect.arrayContaining(['bin/k3s', 'manifests/imageList', 'manifests/a.yaml', 'Metadata']),
    )
  })

  it('k8s: the context as it stands', async () => {
    await cp(at('context'), at('k8s'), { recursive: true })
    await mkdir(at('k8s/bin'))
    await writeFile(at('k8s/bin/kubeadm'), '#!/bin/sh\n', { mode: 0o755 })
    await cloudimgJson(['build', at('k8s'), '-f', join(kubefiles, 'k8s/Kubefile'), '-t', 'k8s', '--offline'], place)
    const tree = await treeOf('k8s-tree', 'k8s', 'linux/amd64')
    expect([...tree.keys()]).toEqual(
      expect.arrayContaining(['bin/kubeadm', 'manifests/imageList', 'imageList', 'Metadata']),
    )
  })

  it('k0s: each platform its own files, and a warning of what the wildcard does', async () => {
    await mkdir(at('k0s/rootfs/etc'), { recursive: true })
    await writeFile(at('k0s/rootfs/etc/k0s.yaml'), 'a: 1\n')
    await writeFile(at('k0s/rootfs/README'), 'k0s\n')
    await writeFile(at('k0s/ImageList'), '# none\n')
    for (const arch of ['amd64', 'arm64']) {
      await mkdir(at('k0s', arch, 'bin'), { recursive: true })
      await writeFile(at('k0s', arch, 'bin/k0s'), `#!/bin/sh\n# for ${arch}\n`, { mode: 0o755 })
    }
    const flags = ['-t', 'k0s', '--platform', 'linux/amd64,linux/arm64', '--offline']
    await cloudimgJson(['build', at('k0s'), '-f', join(kubefiles, 'k0s/Kubefile'), ...flags], place)
    for (const arch of ['amd64', 'arm64']) {
      const tree = await treeOf(`k0s-${arch}`, 'k0s', `linux/${arch}`)
      expect([...tree.keys()]).toEqual(
        expect.arrayContaining(['bin/k0s', 'k0s.yaml', 'README', 'manifests/ImageList', 'Metadata']),
      )
      expect(await readFile(at(`k0s-${arch}/bin/k0s`), 'utf8')).toContain(`for ${arch}`)
    }
  })
})
