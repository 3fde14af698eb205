import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import { createServer } from 'node:net'
import * as os from 'node:os'
import * as path from 'node:path'

/** The shells and command sets under which the installer must work. */
export type Userland = 'dash with GNU tools' | 'busybox'

/** The last line of the installer's stdout. */
export interface Answer {
  readonly v: number
  readonly verb: string
  readonly ok: boolean
  readonly changed: boolean
  readonly code: number
  readonly message: string
  readonly fix: string
  readonly version: string
  readonly state: string
  readonly epoch?: number
  readonly missing?: readonly string[] | null
  readonly findings?: number
}

export interface Outcome {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
  /** Undefined when the run was killed before it could answer. */
  readonly answer: Answer | undefined
}

export interface RunOptions {
  readonly stdin?: string
  /** Die at this write (counted from 1). */
  readonly crashAt?: number
  /** Shell lines run as root in the fresh namespaces, before the chroot; `$T` is the sandbox tree. */
  readonly prepare?: string
  /** Environment of the installer, beside PATH. */
  readonly env?: Readonly<Record<string, string>>
  readonly user?: 'root' | 'nobody'
  /** The shell reads the program from stdin, as from a machine that has it elsewhere. */
  readonly byStdin?: boolean
}

const shims = path.join(import.meta.dirname, 'installer-shims')
export const installer = path.join(import.meta.dirname, '../../scripts/cloudimg-node')

/** What the installer may use on a host with systemd: nothing beyond a base system. */
const gnuPrograms =
  'dash env cat cut tr sed mawk grep sort head tail wc stat sha256sum sync mv cp ln rm mkdir rmdir mktemp find od df date id uname readlink dirname chmod cmp timeout touch ip mount umount gzip zstd ls tee tar iptables-save'.split(
    ' ',
  )

const ifPresent = new Set(['iptables-save'])

function which(program: string): string | undefined {
  for (const dir of ['/usr/bin', '/bin', '/usr/sbin', '/sbin']) {
    const file = path.join(dir, program)
    if (fs.existsSync(file)) return file
  }
  return undefined
}

function copyWithLibraries(file: string, base: string): void {
  const real = fs.realpathSync(file)
  const wanted = spawnSync('ldd', [real], { encoding: 'utf8' }).stdout.matchAll(/(\/\S+) \(0x/g)
  for (const [, library] of wanted) {
    if (library === undefined) continue
    const target = path.join(base, library)
    if (fs.existsSync(target)) continue
    fs.mkdirSync(path.dirname(target), { recursive: true })
    fs.copyFileSync(fs.realpathSync(library), target)
    fs.chmodSync(target, 0o755)
  }
}

function buildBase(userland: Userland, base: string): void {
  fs.mkdirSync(path.join(base, 'bin'), { recursive: true })
  const place = (program: string, as = program): void => {
    const file = which(program)
    if (file === undefined) {
      if (ifPresent.has(program)) return
      throw new Error(`the sandbox needs "${program}": install it (apt-get install busybox zstd dash iproute2)`)
    }
    fs.copyFileSync(fs.realpathSync(file), path.join(base, 'bin', as))
    fs.chmodSync(path.join(base, 'bin', as), 0o755)
    copyWithLibraries(file, base)
  }
  if (userland === 'busybox') {
    place('busybox')
    const applets = spawnSync(path.join(base, 'bin/busybox'), ['--list'], { encoding: 'utf8' }).stdout.split('\n')
    for (const applet of applets) {
      if (applet !== '' && applet !== 'busybox') fs.symlinkSync('busybox', path.join(base, 'bin', applet))
    }
  } else {
    for (const program of gnuPrograms) place(program)
    fs.symlinkSync('dash', path.join(base, 'bin/sh'))
    fs.renameSync(path.join(base, 'bin/mawk'), path.join(base, 'bin/awk'))
  }
  shim(base, 'systemctl', fs.readFileSync(path.join(shims, 'systemctl'), 'utf8'))
  shim(base, 'journalctl', '#!/bin/sh\necho "shimmed journal of $2"\n')
  shim(base, 'sleep', '#!/bin/sh\nexit 0\n')
}

function shim(base: string, name: string, text: string): void {
  const file = path.join(base, 'bin', name)
  fs.rmSync(file, { force: true })
  fs.writeFileSync(file, text, { mode: 0o755 })
}

/** A socket that outlives its listener, for the shims to copy. */
async function makeSocket(file: string): Promise<void> {
  const server = createServer()
  await new Promise<void>(done => server.listen(`${file}.live`, done))
  fs.linkSync(`${file}.live`, file)
  await new Promise(done => server.close(done))
}

/** One userland, and as many hosts as a test wants on it. */
export class Lab {
  readonly root: string
  readonly userland: Userland
  #hosts = 0

  private constructor(userland: Userland, root: string) {
    this.userland = userland
    this.root = root
  }

  static async open(userland: Userland): Promise<Lab> {
    if (process.getuid?.() !== 0) throw new Error('the installer is tested in namespaces: run these tests as root')
    // Memory, because the installer syncs after every write.
    const root = fs.mkdtempSync(path.join(fs.existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir(), 'cloudimg-installer-'))
    const lab = new Lab(userland, root)
    buildBase(userland, path.join(root, 'base'))
    await makeSocket(path.join(root, 'socket'))
    return lab
  }

  host(): Sandbox {
    this.#hosts += 1
    const tree = path.join(this.root, `host${this.#hosts}`)
    for (const dir of [
      'proc',
      'sys',
      'dev',
      'root',
      'tmp',
      'run/systemd/system',
      'etc/systemd/system',
      'usr/local/bin',
    ]) {
      fs.mkdirSync(path.join(tree, dir), { recursive: true })
    }
    for (const dir of ['usr/lib/systemd/system', 'var/lib', 'var/log', 'shim', 'opt']) {
      fs.mkdirSync(path.join(tree, dir), { recursive: true })
    }
    for (const entry of fs.readdirSync(path.join(this.root, 'base'))) {
      if (entry !== 'usr') fs.mkdirSync(path.join(tree, entry), { recursive: true })
    }
    fs.chmodSync(path.join(tree, 'tmp'), 0o1777)
    fs.writeFileSync(path.join(tree, 'etc/passwd'), 'root:x:0:0::/root:/bin/sh\n')
    fs.writeFileSync(path.join(tree, 'etc/group'), 'root:x:0:\n')
    fs.linkSync(path.join(this.root, 'socket'), path.join(tree, 'shim/socket'))
    fs.copyFileSync(path.join(shims, 'point'), path.join(tree, 'shim/point'))
    const program = fs.readFileSync(installer, 'utf8').replaceAll(/^ *: write-point$/gm, '  . /shim/point')
    fs.writeFileSync(path.join(tree, 'shim/cloudimg-node'), program, { mode: 0o755 })
    return new Sandbox(this, tree)
  }

  /** A second host in the very state of this one. */
  copy(of: Sandbox): Sandbox {
    this.#hosts += 1
    const tree = path.join(this.root, `host${this.#hosts}`)
    const copied = spawnSync('cp', ['-a', of.tree, tree], { encoding: 'utf8' })
    if (copied.status !== 0) throw new Error(`copying a sandbox: ${copied.stderr}`)
    return new Sandbox(this, tree)
  }

  close(): void {
    fs.rmSync(this.root, { recursive: true, force: true })
  }
}

const lines = (text: string): readonly string[] => text.split('\n').filter(line => line !== '')

/** One shimmed host: a tree of its own and, for each command, namespaces of its own. */
export class Sandbox {
  readonly tree: string
  readonly #lab: Lab

  constructor(lab: Lab, tree: string) {
    this.#lab = lab
    this.tree = tree
  }

  /** Runs `cloudimg-node ARGV` to its end, or to the write at which it is to die. */
  run(argv: readonly string[], options: RunOptions = {}): Outcome {
    fs.rmSync(this.path('/shim/points'), { force: true })
    this.write('/shim/crash-at', `${options.crashAt ?? 0}\n`)
    const user = options.user === 'nobody' ? '--userspec=65534:65534' : '--userspec=0:0'
    const variables = Object.entries(options.env ?? {}).map(([key, value]) => `${key}=${value}`)
    const script = [
      'set -e',
      `T=${this.tree} B=${path.join(this.#lab.root, 'base')}`,
      // The base is shared by all hosts and must not be written to.
      'for d in "$B"/*; do case ${d##*/} in usr) for u in "$B"/usr/*; do mkdir -p "$T/usr/${u##*/}"; mount --bind -o ro "$u" "$T/usr/${u##*/}"; done;; *) mount --bind -o ro "$d" "$T/${d##*/}";; esac; done',
      'mount -t proc proc "$T/proc"; mount -t sysfs sysfs "$T/sys"; mount -t tmpfs tmpfs "$T/dev"',
      'for n in null zero urandom; do : >"$T/dev/$n"; mount --bind /dev/$n "$T/dev/$n"; done',
      'mkdir "$T/shim/cgroup" 2>/dev/null || true; echo "cpuset cpu io memory pids" >"$T/shim/cgroup/cgroup.controllers"; mount --bind "$T/shim/cgroup" "$T/sys/fs/cgroup"',
      'mount -t tmpfs tmpfs "$T/sys/module"; echo node1 >/proc/sys/kernel/hostname',
      options.prepare ?? '',
      // Never process 1 of the namespace: the kernel would not let it die by its own hand.
      'set +e; chroot "$@"; status=$?; exit $status',
    ].join('\n')
    const program = options.byStdin === true ? 'sh -s -- "$@" </shim/cloudimg-node' : 'sh /shim/cloudimg-node "$@"'
    const noted = options.user === 'nobody' ? '' : 'echo $$ >/shim/main; '
    const command = ['sh', '-c', `${noted}exec ${program}`, 'sh', ...argv]
    const result = spawnSync(
      'unshare',
      [
        '--mount',
        '--pid',
        '--fork',
        '--kill-child',
        '--net',
        '--uts',
        '--ipc',
        '--propagation',
        'private',
        'sh',
        '-c',
        script,
        'sh',
      ]
        .concat([user, this.tree, '/bin/env', '-i', 'PATH=/bin', 'HOME=/root', ...variables])
        .concat(command),
      { encoding: 'utf8', input: options.stdin ?? '', timeout: 120_000 },
    )
    const last = lines(result.stdout).at(-1)
    return {
      status: result.status,
      stdout: result.stdout,
      stderr: result.stderr,
      answer: last?.startsWith('{') === true ? (JSON.parse(last) as Answer) : undefined,
    }
  }

  /** How many writes the last run made, its shims' included. */
  points(): number {
    return Number(this.exists('/shim/points') ? this.read('/shim/points') : 0)
  }

  /** The machine was switched off and on: `/run` is empty, and systemd starts what is enabled. */
  reboot(): void {
    fs.rmSync(this.path('/run'), { recursive: true })
    fs.mkdirSync(this.path('/run/systemd/system'), { recursive: true })
    fs.mkdirSync(this.path('/run/shim'))
    for (const unit of ['k3s.service', 'k3s-agent.service']) {
      const enabled = fs.lstatSync(this.path(`/etc/systemd/system/multi-user.target.wants/${unit}`), {
        throwIfNoEntry: false,
      })
      if (enabled === undefined || !this.exists(`/etc/systemd/system/${unit}`)) continue
      this.write(`/run/shim/${unit}`, 'active\n')
      this.write(`/run/shim/${unit}.pid`, '90\n')
      const version = /k3s version (\S+)/.exec(this.read('/usr/local/bin/k3s'))?.[1] ?? 'none'
      this.write('/run/shim/version', `${version}\n`)
      fs.mkdirSync(this.path('/run/k3s/containerd'), { recursive: true })
      fs.linkSync(this.path('/shim/socket'), this.path('/run/k3s/containerd/containerd.sock'))
      if (unit === 'k3s-agent.service') this.write('/var/lib/rancher/k3s/agent/kubelet.kubeconfig', 'credentials\n')
    }
  }

  destroy(): void {
    fs.rmSync(this.tree, { recursive: true })
  }

  path(inside: string): string {
    return path.join(this.tree, inside)
  }
  exists(inside: string): boolean {
    return fs.existsSync(this.path(inside))
  }
  read(inside: string): string {
    return fs.readFileSync(this.path(inside), 'utf8')
  }
  write(inside: string, text: string, mode = 0o644): void {
    fs.mkdirSync(path.dirname(this.path(inside)), { recursive: true })
    fs.rmSync(this.path(inside), { force: true })
    fs.writeFileSync(this.path(inside), text, { mode })
  }
  remove(inside: string): void {
    fs.rmSync(this.path(inside), { recursive: true, force: true })
  }

  /** What the shims were asked to do since the last time this was asked. */
  calls(): readonly string[] {
    const calls = this.exists('/shim/calls') ? lines(this.read('/shim/calls')) : []
    this.remove('/shim/calls')
    return calls
  }

  /** Puts a rootfs where the deployer does, with its list of checksums; returns its path. */
  rootfs(release: Release): string {
    const hex = createHash('sha256').update(JSON.stringify(release)).digest('hex')
    const dir = `/var/lib/cloudimg/rootfs/${hex}`
    const files = rootfsFiles(release)
    for (const [file, { text, mode }] of files) this.write(`${dir}/${file}`, text, mode)
    const sums = files.map(([file, { text }]) => `${createHash('sha256').update(text).digest('hex')}  ${file}\n`)
    this.write(`${dir}.sums`, sums.join(''))
    return dir
  }

  /** Every file that a command may leave behind: path → type, mode, content. Journals carry times and are left out. */
  snapshot(): Readonly<Record<string, string>> {
    const found: Record<string, string> = {}
    const walk = (inside: string): void => {
      for (const name of fs.readdirSync(this.path(inside)).sort()) {
        const child = `${inside}/${name}`
        const stat = fs.lstatSync(this.path(child))
        const mode = (stat.mode & 0o7777).toString(8)
        if (child === '/var/lib/cloudimg/journal') continue
        if (stat.isSymbolicLink()) found[child] = `link ${fs.readlinkSync(this.path(child))}`
        else if (stat.isDirectory()) {
          found[child] = `dir ${mode}`
          walk(child)
        } else
          found[child] = `file ${mode} ${createHash('sha256')
            .update(fs.readFileSync(this.path(child)))
            .digest('hex')}`
      }
    }
    for (const top of ['/etc', '/var', '/usr/local', '/opt']) walk(top)
    return found
  }
}

export interface Release {
  readonly version: string
  /** What distinguishes one install.sh from another. */
  readonly script?: string
  readonly archive?: string
  readonly extra?: Readonly<Record<string, string>>
}

/** The machine's name in upstream's file names. */
export const architecture = os.arch() === 'arm64' ? 'arm64' : 'amd64'

function rootfsFiles(
  release: Release,
): readonly (readonly [string, { readonly text: string; readonly mode: number }])[] {
  const k3s = fs.readFileSync(path.join(shims, 'k3s'), 'utf8').replaceAll('VERSION', release.version)
  const script = fs
    .readFileSync(path.join(shims, 'k3s-install.sh'), 'utf8')
    .replaceAll('REVISION', release.script ?? '1')
  const extra = Object.entries(release.extra ?? {}).map(
    ([file, text]) => [file, { text, mode: file.startsWith('bin/') ? 0o755 : 0o644 }] as const,
  )
  return [
    ['bin/k3s', { text: k3s, mode: 0o755 }],
    [
      `images/${release.archive ?? `k3s-airgap-images-${architecture}.tar.zst`}`,
      { text: `archive of ${release.version}`, mode: 0o644 },
    ],
    ['images/k3s-images.txt', { text: 'docker.io/rancher/mirrored-pause:3.6\n', mode: 0o644 }],
    ['scripts/k3s-install.sh', { text: script, mode: 0o755 }],
    ['scripts/cloudimg-node', { text: '#!/bin/sh\n', mode: 0o755 }],
    ['Metadata', { text: '{}\n', mode: 0o644 }],
    ...extra,
  ]
}
