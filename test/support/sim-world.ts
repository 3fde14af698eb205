import { dirname, join } from 'node:path/posix'
import type { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import type { Context } from '../../src/core/context.ts'
import { type Digest, digestOf, hexOf } from '../../src/core/digest.ts'
import { CloudimgError } from '../../src/core/error.ts'
import type { FileState, Host, UploadFile } from '../../src/host/host.ts'
import type { ExecResult } from '../../src/host/shell.ts'
import { readTar } from '../../src/io/tar.ts'

/** What a killed cloudimg sees of the world from then on: nothing. */
export class Killed extends Error {}

/** A small model of machines and of what the installer does to them; a cluster is what the first server knows. */
export class SimWorld {
  readonly hosts = new Map<string, SimHost>()
  /** Node name → version. */
  readonly nodes = new Map<string, string>()
  readonly images: readonly string[]
  calls = 0
  /** The call at which the operator is killed, and on which side of its effect. */
  killAt: { readonly call: number; readonly side: 'before' | 'after' } | undefined
  onKill: () => void = () => undefined
  isDead = false

  constructor(names: readonly string[], images: readonly string[]) {
    this.images = images
    for (const [index, name] of names.entries()) this.hosts.set(name, new SimHost(this, name, index))
  }

  /** Another process of the operator: alive again. */
  revive(): void {
    this.isDead = false
    this.killAt = undefined
    this.calls = 0
  }

  async effect<T>(work: () => T | Promise<T>): Promise<T> {
    if (this.isDead) throw new Killed()
    const call = ++this.calls
    if (this.killAt?.call === call && this.killAt.side === 'before') this.#die()
    const result = await work()
    if (this.killAt?.call === call && this.killAt.side === 'after') this.#die()
    return result
  }

  #die(): never {
    this.isDead = true
    this.onKill()
    throw new Killed()
  }

  server(): SimHost {
    return [...this.hosts.values()][0]!
  }

  /** All that matters of all machines, tokens hidden: equal for two runs that did the same. */
  state(): unknown {
    return [...this.hosts.values()].map(host => host.state())
  }
}

interface SimFile {
  readonly content: Buffer
  readonly mode: number
}

const digests = new WeakMap<Buffer, Digest>()

/** Contents never change in place, so each is hashed once. */
function digestOfBuffer(content: Buffer): Digest {
  const digest = digests.get(content) ?? digestOf(content)
  digests.set(content, digest)
  return digest
}

const ok = (stdout = ''): ExecResult => ({ code: 0, stdout, stderr: '' })
const no = (code = 1): ExecResult => ({ code, stdout: '', stderr: '' })

export class SimHost implements Host {
  readonly name: string
  readonly files = new Map<string, SimFile>()
  readonly links = new Map<string, string>()
  readonly units = new Map<string, string>()
  /** Every change, in order: for a test that asks whether there was any. */
  readonly changes: string[] = []
  defaultRoute = true
  /** Further lines of facts; a later line of the same key does not overrule. */
  extraFacts: readonly string[] = []
  /** Loses what is in memory at the next installer verb, as a power cut in the middle of it. */
  powerCutDuring: string | undefined
  readonly #world: SimWorld
  readonly #index: number
  readonly #running = new Map<string, string>()

  constructor(world: SimWorld, name: string, index: number) {
    this.#world = world
    this.name = name
    this.#index = index
  }

  get address(): string {
    return `10.0.0.${this.#index + 1}`
  }

  state(): unknown {
    const quiet = /^\/(?:run|var\/lib\/cloudimg\/(?:lock|journal))/
    const files = [...this.files].filter(([path]) => !quiet.test(path)).sort(([a], [b]) => (a < b ? -1 : 1))
    const shown = (content: Buffer): string =>
      content.length > 10_000 ? digestOfBuffer(content) : hideTokens(content.toString('utf8'))
    return {
      files: files.map(([path, { content, mode }]) => [path, mode, shown(content)]),
      links: [...this.links],
      units: [...this.units],
      defaultRoute: this.defaultRoute,
    }
  }

  write(path: string, content: string | Buffer, mode = 0o600): void {
    this.files.set(path, { content: Buffer.from(content), mode })
  }

  text(path: string): string | undefined {
    return this.files.get(path)?.content.toString('utf8')
  }

  async look(argv: readonly string[]): Promise<ExecResult> {
    return await this.#world.effect(() => this.#look(argv))
  }

  async stat(paths: readonly string[]): Promise<readonly (FileState | undefined)[]> {
    return await this.#world.effect(() =>
      paths.map(path => {
        const file = this.files.get(path)
        return file && { size: file.content.length, mode: file.mode, digest: digestOfBuffer(file.content) }
      }),
    )
  }

  async read(path: string): Promise<string | undefined> {
    return await this.#world.effect(() => this.text(path))
  }

  async exec(
    argv: readonly string[],
    options: { readonly input?: string; readonly check?: boolean },
  ): Promise<ExecResult> {
    return await this.#world.effect(() => {
      const result = this.#exec(argv, options.input ?? '')
      if (result.code === 0 || options.check === false) return result
      throw new CloudimgError(
        'COMMAND_FAILED',
        `running "${argv.join(' ')}" on "${this.name}": exit code ${result.code}`,
      )
    })
  }

  async upload(file: UploadFile, ctx: Context): Promise<'sent' | 'unchanged'> {
    const content = await buffer(await file.open(0, ctx))
    return await this.#world.effect(() => {
      const there = this.files.get(file.to)
      if (there !== undefined && digestOfBuffer(there.content) === file.digest) return 'unchanged'
      this.#change(`upload ${file.to}`)
      digests.set(content, file.digest)
      this.write(file.to, content, file.mode)
      return 'sent'
    })
  }

  async unpack(directory: string, tar: Readable): Promise<void> {
    const entries: [string, SimFile][] = []
    for await (const entry of readTar(tar, 'the stream')) {
      if (entry.type !== 'file') continue
      const chunks: Buffer[] = []
      for await (const chunk of entry.content()) chunks.push(Buffer.from(chunk))
      entries.push([join(directory, entry.path), { content: Buffer.concat(chunks), mode: entry.mode }])
    }
    await this.#world.effect(() => {
      this.#change(`unpack ${directory}`)
      for (const [path, file] of entries) this.files.set(path, file)
    })
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  #change(what: string): void {
    this.changes.push(what)
  }

  #look(argv: readonly string[]): ExecResult {
    const [program, first, second, third, ...rest] = argv
    const script = program === 'sh' && first === '-c' ? third : undefined
    if (script === 'facts') return ok(this.#facts())
    if (script === 'node-unchanged') {
      const digest = /"(sha256:[0-9a-f]+)"/.exec(second ?? '')?.[1] ?? ''
      const record = this.text('/var/lib/cloudimg/node.json')
      return record === undefined || record.includes(digest) ? ok() : no()
    }
    if (script === 'default-route') return this.defaultRoute && this.units.has('cloudimg-default-route') ? ok() : no()
    if (script === 'installer-wait') {
      const result = this.#running.get(rest[0]!)
      return result === undefined ? ok('gone 0\n') : ok(`ended 0\n${result}\n`)
    }
    if (program === 'test' && first === '!') return this.files.has(third!) ? no() : ok()
    if (program === 'test') return [...this.files.keys()].some(path => path.startsWith(`${second}/`)) ? ok() : no()
    if (program === 'readlink') return this.links.has(first!) ? ok(`${this.links.get(first!)}\n`) : no()
    if (program === 'systemctl') return this.units.has(third!.replace('.service', '')) ? ok() : no(3)
    if (program === 'grep') return this.text(third!)?.includes(second!) === true ? ok() : no()
    if (program === 'env') return this.#k3s(argv.slice(5))
    throw new Error(`sim host "${this.name}" does not know ${argv.join(' ')}`)
  }

  #k3s([kind]: readonly string[]): ExecResult {
    if (kind === 'crictl')
      return ok(JSON.stringify({ images: this.#world.images.map(image => ({ repoTags: [image] })) }))
    const items = [...this.#world.nodes].map(([name, kubeletVersion]) => ({
      metadata: { name },
      status: { conditions: [{ type: 'Ready', status: 'True' }], nodeInfo: { kubeletVersion } },
    }))
    return ok(JSON.stringify({ items }))
  }

  #facts(): string {
    const disks = ['/var/lib/cloudimg', '/var/lib/rancher', '/usr/local/bin'].map(path => `disk=${path} 90000000 - rw`)
    const unit = (name: string): string =>
      `unit-${name}=${this.units.has(name) ? 'active enabled' : 'inactive not-found'}`
    const config = this.text('/etc/rancher/k3s/config.yaml')
    const node = this.text('/var/lib/cloudimg/node.json')
    const lock = this.text('/var/lib/cloudimg/lock')
    const staged = [...this.files.keys()].filter(path => path.endsWith('.staged'))
    return [
      'system=Linux',
      'machine=x86_64',
      'kernel=6.1.0',
      `hostname=Node${this.#index + 1}`,
      `machine-id=m${this.#index}`,
      'init=systemd',
      `time=${Math.round(Date.now() / 1000)}`,
      'cpus=2',
      'memory-kib=4000000',
      'cgroup=2',
      'controllers=cpu cpuset memory pids',
      `address=eth0 ${this.address}/24`,
      ...(this.defaultRoute ? ['route=default via 10.0.0.254 dev eth0'] : []),
      ...disks,
      unit('k3s'),
      unit('k3s-agent'),
      ...(config === undefined
        ? []
        : hideTokens(config)
            .trimEnd()
            .split('\n')
            .map(line => `k3s-config=${line}`)),
      ...(node === undefined ? [] : [`node=${node}`]),
      ...(lock === undefined ? [] : [`lock=${lock}`]),
      ...staged.flatMap(path => this.#sums(path.replace(/\.staged$/, ''))),
      ...this.extraFacts,
    ].join('\n')
  }

  #sums(directory: string): readonly string[] {
    const lines = (this.text(`${directory}.sums`) ?? '').trim().split('\n')
    return [`staged=${directory}`, ...lines.map(line => `sum=${line.slice(0, 64)}  ${directory}/${line.slice(66)}`)]
  }

  #exec(argv: readonly string[], input: string): ExecResult {
    const [program, first, second, third, ...rest] = argv
    if (program === 'sh' && first === '-s') return this.#lock(third!, argv)
    if (program === 'rm') {
      if (this.files.delete(argv.at(-1)!)) this.#change(`rm ${argv.at(-1)}`)
      return ok()
    }
    if (program === 'sh' && third === 'write-file') {
      this.#change(`write ${rest[0]}`)
      this.write(rest[0]!, input, Number.parseInt(rest[1]!, 8))
      return ok()
    }
    if (program === 'sh' && third === 'copy-files') return this.#copy(input)
    if (program === 'sh' && third === 'installer-start') return this.#installer(rest[0]!, rest.slice(4))
    throw new Error(`sim host "${this.name}" does not know ${argv.join(' ')} ${second}`)
  }

  #copy(input: string): ExecResult {
    const lines = input.trimEnd().split('\n')
    for (let at = 0; at < lines.length; at += 3) {
      const [mode] = lines[at]!.split(' ')
      const file = this.files.get(lines[at + 1]!)!
      this.#change(`copy ${lines[at + 2]}`)
      this.files.set(lines[at + 2]!, { content: file.content, mode: Number.parseInt(mode!, 8) })
    }
    return ok()
  }

  #lock(verb: string, argv: readonly string[]): ExecResult {
    const path = '/var/lib/cloudimg/lock'
    const [op, epoch] = [option(argv, 'op'), Number(option(argv, 'epoch'))]
    const [, heldOp, heldEpoch] = (this.text(path) ?? '').split(' ')
    const mine = heldOp === op && epoch >= Number(heldEpoch)
    const free = heldOp === undefined || (verb === 'lock' && epoch > Number(heldEpoch))
    if (!mine && !free)
      return { ...ok(report(verb, { ok: false, code: 75, message: `locked by ${heldOp}` })), code: 75 }
    if (verb === 'unlock') this.files.delete(path)
    else this.write(path, `somebody ${op} ${epoch} ${Math.round(Date.now() / 1000)}`)
    return ok(report(verb, {}))
  }

  /** What a verb does, all of it at once. */
  #installer(unit: string, args: readonly string[]): ExecResult {
    const [verb = ''] = args
    const rootfs = option(args, 'rootfs')
    if (this.powerCutDuring === verb) {
      this.powerCutDuring = undefined
      for (const path of this.files.keys()) if (path.startsWith('/run/')) this.files.delete(path)
      return ok('started\n')
    }
    this.#running.set(unit, this.#verb(verb, rootfs, args))
    return ok('started\n')
  }

  #verb(verb: string, rootfs: string, args: readonly string[]): string {
    this.#change(`${verb} ${rootfs}`)
    switch (verb) {
      case 'stage':
        return this.#stage(rootfs)
      case 'install':
        this.#place(rootfs)
        return report(verb, { changed: true })
      case 'fix':
        this.defaultRoute = true
        this.units.set('cloudimg-default-route', 'active')
        return report(verb, { changed: true })
      case 'init':
      case 'join':
        return this.#bringUp(verb, rootfs, args)
      default:
        throw new Error(`sim installer does not know ${verb}`)
    }
  }

  #stage(rootfs: string): string {
    const list = this.text(`${rootfs}.sums`) ?? ''
    for (const line of list.trim().split('\n')) {
      const file = this.files.get(join(rootfs, line.slice(66)))
      if (file === undefined || hexOf(digestOfBuffer(file.content)) !== line.slice(0, 64))
        return report('stage', { ok: false, code: 4, message: `${line.slice(66)} differs` })
    }
    this.write(`${rootfs}.staged`, list)
    return report('stage', { changed: true })
  }

  #place(rootfs: string): void {
    for (const [path, file] of this.files) {
      if (path === `${rootfs}/bin/k3s`) this.files.set('/usr/local/bin/k3s', file)
      if (dirname(path) === `${rootfs}/images` && path.includes('airgap'))
        this.files.set(`/var/lib/rancher/k3s/agent/images/${path.slice(rootfs.length + 8)}`, file)
    }
    this.links.set('/var/lib/cloudimg/current', rootfs)
  }

  #bringUp(verb: 'init' | 'join', rootfs: string, args: readonly string[]): string {
    const config = this.text(option(args, 'config'))
    if (config === undefined) return report(verb, { ok: false, code: 2, message: 'the config cannot be read' })
    const role = verb === 'init' ? 'server' : 'agent'
    this.#place(rootfs)
    const record = {
      v: 1,
      cluster: option(args, 'cluster'),
      role,
      digest: option(args, 'digest'),
      version: 'v1.31.4+k3s1',
    }
    this.write('/var/lib/cloudimg/node.json', JSON.stringify(record))
    this.write('/etc/rancher/k3s/config.yaml', config)
    this.units.set(role === 'server' ? 'k3s' : 'k3s-agent', 'active')
    this.write('/var/lib/cloudimg/applied', '…  /usr/local/bin/k3s\n')
    if (role === 'server')
      this.write('/etc/rancher/k3s/k3s.yaml', 'clusters:\n- cluster:\n    server: https://127.0.0.1:6443\n')
    else if (
      tokenOf(config, 'token') !==
      tokenOf(this.#world.server().text('/etc/rancher/k3s/config.yaml') ?? '', 'agent-token')
    )
      return report(verb, { ok: false, code: 5, message: 'the token is wrong' })
    this.#world.nodes.set(option(args, 'node-name'), 'v1.31.4+k3s1')
    return report(verb, { changed: true })
  }
}

export function tokenOf(config: string, key: string): string | undefined {
  return new RegExp(`^${key}: "(.*)"$`, 'm').exec(config)?.[1]
}

function hideTokens(text: string): string {
  return text.replaceAll(/^([a-z-]*token[a-z-]*):.*$/gm, '$1: (hidden)')
}

function option(args: readonly string[], name: string): string {
  return args[args.indexOf(`--${name}`) + 1] ?? ''
}

function report(verb: string, more: Record<string, unknown>): string {
  return JSON.stringify({
    v: 1,
    verb,
    ok: true,
    changed: false,
    code: 0,
    message: 'done',
    fix: '',
    version: '',
    state: '',
    ...more,
  })
}
