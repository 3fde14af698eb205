import { gzipSync } from 'node:zlib'
import { join } from 'node:path/posix'
import type { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import type { Context } from '../../src/core/context.ts'
import { type Digest, digestOf, hexOf } from '../../src/core/digest.ts'
import { CloudimgError } from '../../src/core/error.ts'
import type { FileState, Host, UploadFile } from '../../src/host/host.ts'
import type { ExecResult } from '../../src/host/shell.ts'
import { temporaryOf } from '../../src/host/upload.ts'
import { certificatePath, certificateTexts, namesIn } from './sim-care.ts'
import { simKubectl } from './sim-cluster.ts'
import { datastoreScript } from './sim-datastore.ts'
import { option, report, simRestart, simStart, simVerb } from './sim-installer.ts'
import { endFanout, type PeerFault, simFanout } from './sim-fanout.ts'
import { operator } from './sim-network.ts'
import type { SimWorld } from './sim-world.ts'

export const configPath = '/etc/rancher/k3s/config.yaml'
export const registriesPath = '/etc/rancher/k3s/registries.yaml'

const journals = '/var/lib/cloudimg/journal'

export interface SimFile {
  readonly content: Buffer
  readonly mode: number
}

interface SimUnit {
  active: boolean
  enabled: boolean
}

const digests = new WeakMap<Buffer, Digest>()

/** Contents never change in place, so each is hashed once. */
export function digestOfBuffer(content: Buffer): Digest {
  const digest = digests.get(content) ?? digestOf(content)
  digests.set(content, digest)
  return digest
}

const sizes = new WeakMap<Buffer, number>()

/** Contents of large files stand for many more bytes. */
export function sizeOfBuffer(content: Buffer): number {
  return sizes.get(content) ?? content.length
}

const ok = (stdout = ''): ExecResult => ({ code: 0, stdout, stderr: '' })
const no = (code = 1): ExecResult => ({ code, stdout: '', stderr: '' })
const yes = (is: boolean): ExecResult => (is ? ok() : no())

function byKey([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1
}

/** One machine of the simulation: files, links, units, and the programs that the product runs on it. */
export class SimHost implements Host {
  readonly name: string
  readonly files = new Map<string, SimFile>()
  readonly links = new Map<string, string>()
  readonly units = new Map<string, SimUnit>()
  /** What scripts that ran here had in their environment. */
  readonly environments: string[] = []
  /** Every change, in order: for a test that asks whether there was any. */
  readonly changes: string[] = []
  /** What was there before cloudimg, and is there again after a reset. */
  readonly pristine = new Map<string, SimFile>()
  defaultRoute = true
  /** Whatever k3s is switched to, its node is never Ready. */
  isBroken = false
  /** Its k3s does not come up with the next configuration that it is given. */
  isMisconfigured = false
  isOff = false
  cannotReachRegistry = false
  /** Names of images that its containerd has lost. */
  readonly lost = new Set<string>()
  /** What a part of a support bundle says, from its lines for the shell. */
  spoken: (script: string) => string = script => script
  /** Further certificates, and changed files, as the product's scripts print them. */
  certificates = ''
  drift: readonly string[] = []
  /** Further lines of facts; a later line of the same key does not overrule. */
  extraFacts: readonly string[] = []
  /** As facts name them: what files are fetched with, and served with. */
  http: { readonly clients: readonly string[]; readonly servers: readonly string[] } = { clients: [], servers: [] }
  machine = 'x86_64'
  peerFault: PeerFault | undefined
  /** How often it began to serve. */
  opened = 0
  /** Its time limit no longer counts. */
  letGoOfFanout: () => void = () => undefined
  /** Half-sent files: bytes that have come, by temporary name. */
  readonly parts = new Map<string, number>()
  /** The next upload breaks off after so many bytes, and so does the connection. */
  cutUploadAfter: number | undefined
  /** Loses what is in memory at the next installer verb, as a power cut in the middle of it. */
  powerCutDuring: string | undefined
  readonly #world: SimWorld
  readonly #index: number
  readonly #running = new Map<string, { readonly result: string; readonly endsAt: number }>()

  constructor(world: SimWorld, name: string, index: number) {
    this.#world = world
    this.name = name
    this.#index = index
  }

  get address(): string {
    return `10.0.${Math.floor(this.#index / 250)}.${(this.#index % 250) + 1}`
  }

  get nodeName(): string {
    return `node${this.#index + 1}`
  }

  /** Of the k3s program that is in place. */
  get version(): string {
    return /v1\.\d+\.\d+\+k3s\d+/.exec(this.text('/usr/local/bin/k3s') ?? '')?.[0] ?? 'v1.31.4+k3s1'
  }

  runs(unit: string): boolean {
    return !this.isOff && this.units.get(unit)?.active === true
  }

  copyFrom(other: SimHost): void {
    for (const [path, file] of other.files) this.files.set(path, file)
    for (const [path, target] of other.links) this.links.set(path, target)
    for (const [name, unit] of other.units) this.units.set(name, { ...unit })
    for (const [path, file] of other.pristine) this.pristine.set(path, file)
    this.http = other.http
    this.machine = other.machine
    this.defaultRoute = other.defaultRoute
    this.isBroken = other.isBroken
    this.isMisconfigured = other.isMisconfigured
    this.isOff = other.isOff
    for (const name of other.lost) this.lost.add(name)
  }

  /** What is in memory is gone, what is on the disk comes back after a while. */
  reboot(seconds: number): void {
    this.isOff = true
    for (const path of this.files.keys()) if (path.startsWith('/run/')) this.files.delete(path)
    this.#running.clear()
    endFanout(this)
    this.#world.clock.at(this.#world.clock.now() + seconds * 1000, () => (this.isOff = false))
  }

  /** Another disk, the same name and address. */
  image(): void {
    for (const map of [this.files, this.links, this.units]) map.clear()
  }

  state(): unknown {
    // What a node once was is a note, not a part of what it is; nor is what an operation keeps for its own undo.
    const quiet =
      /^\/(?:run|etc\/rancher\/node\/password|var\/lib\/cloudimg\/(?:lock|journal|was|previous|backup\/(?:config|rendered)\/))/
    const files = [...this.files].filter(([path]) => !quiet.test(path)).sort(([a], [b]) => (a < b ? -1 : 1))
    const shown = (path: string, content: Buffer): string =>
      path.startsWith('/etc/rancher/k3s/registry/')
        ? 'made for this cluster'
        : // Which state it is, its cluster tells.
          path.startsWith('/var/lib/rancher/k3s/server/db/')
          ? 'data'
          : content.length > 10_000
            ? digestOfBuffer(content)
            : hideTokens(content.toString('utf8'))
    return {
      files: files.map(([path, { content, mode }]) => [path, mode, shown(path, content)]),
      links: [...this.links].filter(([path]) => !quiet.test(path)).sort(byKey),
      units: [...this.units].sort(byKey),
      defaultRoute: this.defaultRoute,
      lost: [...this.lost].sort(),
    }
  }

  write(path: string, content: string | Buffer, mode = 0o600): void {
    this.files.set(path, { content: typeof content === 'string' ? Buffer.from(content) : content, mode })
  }

  text(path: string): string | undefined {
    return this.files.get(path)?.content.toString('utf8')
  }

  change(what: string): void {
    this.#world.firstChange ??= this.#world.calls
    this.changes.push(what)
    this.#world.order.push(`${this.name}: ${what}`)
  }

  async #reach<T>(bytes: number, work: () => T | Promise<T>): Promise<T> {
    return await this.#world.effect(async () => {
      await this.#world.network?.ask(operator, bytes)
      this.#world.trouble(this)
      if (this.isOff)
        throw new CloudimgError('HOST_UNREACHABLE', `reaching "${this.name}": it is off`, { data: { retryable: true } })
      return await work()
    })
  }

  async look(argv: readonly string[]): Promise<ExecResult> {
    return await this.#reach(sizeOf(argv), async () => {
      if (argv[3] === 'installer-wait') await this.#untilEnded(argv[4]!, Number(argv[7]))
      return this.#look(argv)
    })
  }

  async #untilEnded(unit: string, seconds: number): Promise<void> {
    const { clock } = this.#world
    const left = (this.#running.get(unit)?.endsAt ?? 0) - clock.now()
    if (left > 0) await clock.sleep(Math.min(left, seconds * 1000))
  }

  async stat(paths: readonly string[]): Promise<readonly (FileState | undefined)[]> {
    return await this.#reach(sizeOf(paths), () =>
      paths.map(path => {
        const file = this.files.get(path)
        return file && { size: file.content.length, mode: file.mode, digest: digestOfBuffer(file.content) }
      }),
    )
  }

  async read(path: string): Promise<string | undefined> {
    return await this.#reach(path.length, () => this.text(path))
  }

  async exec(
    argv: readonly string[],
    options: { readonly input?: string; readonly check?: boolean },
  ): Promise<ExecResult> {
    const input = options.input ?? ''
    return await this.#reach(sizeOf(argv) + input.length, async () => {
      const fanout = argv[1] === '-c' ? simFanout(this.#world, this, argv[3] ?? '', argv.slice(4), input) : undefined
      const result = (await fanout) ?? this.#exec(argv, input)
      if (result.code === 0 || options.check === false) return result
      throw new CloudimgError(
        'COMMAND_FAILED',
        `running "${argv.join(' ')}" on "${this.name}": exit code ${result.code}`,
      )
    })
  }

  async upload(file: UploadFile, ctx: Context): Promise<'sent' | 'unchanged'> {
    return await this.#reach(1000, async () => {
      const there = this.files.get(file.to)
      if (there !== undefined && digestOfBuffer(there.content) === file.digest) return 'unchanged'
      await this.#receive(file)
      this.change(`upload ${file.to}`)
      this.files.set(file.to, { content: await this.#contentOf(file, ctx), mode: file.mode })
      return 'sent'
    })
  }

  async #receive(file: UploadFile): Promise<void> {
    const part = temporaryOf(file)
    const have = this.parts.get(part) ?? 0
    const cut = this.cutUploadAfter
    this.cutUploadAfter = undefined
    const bytes = Math.min(file.size - have, cut ?? Infinity)
    await this.#world.network?.transfer(operator, this.name, bytes)
    this.parts.set(part, have + bytes)
    if (cut !== undefined) throw new CloudimgError('HOST_UNREACHABLE', `reaching "${this.name}": the line is cut`)
    this.parts.delete(part)
  }

  /** The same bytes for all hosts: thousands of them have room in memory. */
  async #contentOf(file: UploadFile, ctx: Context): Promise<Buffer> {
    const { contents } = this.#world
    const content = contents.get(file.digest) ?? (await buffer(await file.open(0, ctx)))
    contents.set(file.digest, content)
    digests.set(content, file.digest)
    sizes.set(content, file.size)
    return content
  }

  async unpack(directory: string, tar: Readable): Promise<void> {
    const entries = await this.#world.readTar(tar)
    const bytes = entries.reduce((sum, [, file]) => sum + file.content.length + 512, 1024)
    await this.#reach(bytes, () => this.place(directory, entries))
  }

  place(directory: string, entries: readonly (readonly [string, SimFile])[]): void {
    this.change(`unpack ${directory}`)
    for (const [path, file] of entries) this.files.set(join(directory, path), file)
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  #look(argv: readonly string[]): ExecResult {
    const [program, first, second, third, ...rest] = argv
    if (program === 'sh' && first === '-c') return this.#script(third ?? '', second ?? '', rest)
    if (program === 'test' && first === '!') return yes(!this.#exists(third!))
    if (program === 'test') return yes(this.#exists(second!))
    if (program === 'readlink') return this.links.has(first!) ? ok(`${this.links.get(first!)}\n`) : no()
    if (program === 'systemctl') {
      const unit = this.units.get(third!.replace('.service', ''))
      return unit !== undefined && (first === 'is-active' ? unit.active : unit.enabled) ? ok() : no(3)
    }
    if (program === 'grep') return yes(this.text(third!)?.includes(second!) === true)
    if (program === 'sha256sum') {
      const file = this.files.get(first!)
      return file === undefined ? no() : ok(`${hexOf(digestOfBuffer(file.content))}  ${first}\n`)
    }
    if (program === 'env') return this.#k3s(argv.slice(5))
    throw new Error(`sim host "${this.name}" does not know ${argv.join(' ')}`)
  }

  #exists(path: string): boolean {
    return [...this.files.keys()].some(file => file === path || file.startsWith(`${path}/`))
  }

  /** Scripts of the product that only look, by the name that it gives them. */
  #script(name: string, text: string, args: readonly string[]): ExecResult {
    const unit = this.units.get(args[0] ?? '')
    switch (name) {
      case 'facts':
        return ok(this.#facts())
      case 'node-unchanged': {
        const digest = /"(sha256:[0-9a-f]+)"/.exec(text)?.[1] ?? ''
        const record = this.text('/var/lib/cloudimg/node.json')
        return yes(record === undefined || record.includes(digest))
      }
      case 'default-route':
        return yes(this.defaultRoute && this.units.has('cloudimg-default-route'))
      case 'installer-wait': {
        const running = this.#running.get(args[0]!)
        if (running === undefined) return ok('gone 0\n')
        return ok(running.endsAt > this.#world.clock.now() ? 'running 0\n' : `ended 0\n${running.result}\n`)
      }
      case 'registry-reach':
        return ok(this.#world.registry === undefined || this.cannotReachRegistry ? 'no\n' : 'yes\n')
      case 'unit-held':
        return yes(unit?.enabled !== true)
      case 'unit-stopped':
        return yes(unit?.active !== true)
      case 'host-clean':
        return yes(!['node', 'owned', 'rootfs'].some(left => this.#exists(`/var/lib/cloudimg/${left}`)))
      case 'fanout-progress':
        return ok(`${this.parts.get(args[0]!) ?? 0}\n`)
      case 'certificates':
        return ok(certificateTexts(this))
      case 'collect-secrets':
        return ok(
          args[0]!
            .split(' ')
            .map(path => `${this.text(path) ?? ''}\n`)
            .join(''),
        )
      case 'collect-part':
        return { ...ok(gzipSync(this.spoken(args[1]!)).toString('base64')), stderr: 'code 0\n' }
      case 'images-present': {
        const runs = ['k3s', 'k3s-agent'].some(name => this.runs(name))
        const imported = args[0] === '/dev/null' || this.text('/var/lib/rancher/k3s/imported') === this.text(args[0]!)
        return yes(runs && imported && !args.some(path => namesIn(this, path).some(image => this.lost.has(image))))
      }
      case 'drift':
        return ok(this.drift.map(path => `${path}\n`).join(''))
      case 'server-snapshots':
        return ok('4096 1700000000 /var/lib/rancher/k3s/server/db/snapshots/etcd-snapshot-node1-1700000000\n')
      case 'node-away':
        return yes(this.#look(args).code !== 0)
      case 'has-marks': {
        const [wanted = '', gone = '', ...command] = args
        const has = this.#look(command)
        const holds = wanted.split('\n').every(piece => has.stdout.includes(piece))
        return yes(
          has.code === 0 && holds && !gone.split('\n').some(piece => piece !== '' && has.stdout.includes(piece)),
        )
      }
      case 'drained': {
        const node =
          this.#world.cluster?.answersOn(this.#world, this) === true ? this.#world.nodes.get(args[0]!) : undefined
        return yes(node?.cordoned === true && node.pods === 0)
      }
      case 'read-part': {
        const [path, part] = [args[0]!, Number(args[1])]
        const size = Number(/bs=(\d+)/.exec(text)?.[1])
        return ok(
          this.files
            .get(path)!
            .content.subarray(part * size, (part + 1) * size)
            .toString('base64'),
        )
      }
      default:
        throw new Error(`sim host "${this.name}" does not know the script ${name}`)
    }
  }

  #k3s([kind, ...args]: readonly string[]): ExecResult {
    if (kind === 'kubectl') return simKubectl(this.#world, this, args)
    const images = this.#world.images.filter(image => !this.lost.has(image))
    return ok(JSON.stringify({ images: images.map(image => ({ repoTags: [image] })) }))
  }

  #facts(): string {
    const disks = ['/var/lib/cloudimg', '/var/lib/rancher', '/usr/local/bin'].map(path => `disk=${path} 90000000 - rw`)
    const unit = (name: string): string => {
      const { active = false, enabled = false } = this.units.get(name) ?? {}
      const is = this.units.has(name) ? (enabled ? 'enabled' : 'disabled') : 'not-found'
      return `unit-${name}=${active ? 'active' : 'inactive'} ${is}`
    }
    const config = this.text(configPath)
    const registries = this.text(registriesPath)?.replaceAll(/^( *password):.*$/gm, '$1: (hidden)')
    const node = this.text('/var/lib/cloudimg/node.json')
    const lock = this.text('/var/lib/cloudimg/lock')
    const staged = [...this.files.keys()].filter(path => path.endsWith('.staged'))
    return [
      'system=Linux',
      `machine=${this.machine}`,
      'kernel=6.1.0',
      `hostname=Node${this.#index + 1}`,
      `machine-id=m${this.#index}`,
      'init=systemd',
      `time=${Math.round(this.#world.clock.now() / 1000)}`,
      'cpus=2',
      'memory-kib=4000000',
      'cgroup=2',
      'controllers=cpu cpuset memory pids',
      'nameserver=10.0.0.53',
      `address=eth0 ${this.address}/24`,
      ...(this.defaultRoute ? ['route=default via 10.0.0.254 dev eth0'] : []),
      ...disks,
      ...this.http.clients.map(name => `http-client=${name}`),
      ...this.http.servers.map(name => `http-server=${name}`),
      unit('k3s'),
      unit('k3s-agent'),
      ...(this.files.has('/usr/local/bin/k3s') ? [`k3s-version=k3s version ${this.version} (sim)`] : []),
      `previous=${this.links.get('/var/lib/cloudimg/previous') ?? ''}`,
      ...(config === undefined
        ? []
        : hideTokens(config)
            .trimEnd()
            .split('\n')
            .map(line => `k3s-config=${line}`)),
      ...(registries === undefined
        ? []
        : registries
            .trimEnd()
            .split('\n')
            .map(line => `k3s-registries=${line}`)),
      unit('cloudimg-registry').replace('unit-cloudimg-registry', 'unit-registry'),
      ...(node === undefined ? [] : [`node=${node}`]),
      ...(lock === undefined ? [] : [`lock=${lock}`]),
      ...this.#operation(),
      ...['beforeUpgrade', 'beforeReset']
        .filter(name => this.text(`/var/lib/cloudimg/hooks/${name}.sh`) !== undefined)
        .map(name => `hook=${name}`),
      ...staged.flatMap(path => this.#sums(path.replace(/\.staged$/, ''))),
      ...this.extraFacts,
    ].join('\n')
  }

  #operation(): readonly string[] {
    const newest = [...this.files.keys()]
      .filter(path => path.startsWith(`${journals}/`))
      .sort()
      .at(-1)
    const lines = newest === undefined ? [] : this.text(newest)!.trim().split('\n')
    return lines.at(-1)?.includes('"event":"end"') === false ? [`operation=${lines[0]}`] : []
  }

  #sums(directory: string): readonly string[] {
    const lines = (this.text(`${directory}.sums`) ?? '').trim().split('\n')
    return [`staged=${directory}`, ...lines.map(line => `sum=${line.slice(0, 64)}  ${directory}/${line.slice(66)}`)]
  }

  #exec(argv: readonly string[], input: string): ExecResult {
    const [program, first, second, third, ...rest] = argv
    if (program === 'sh' && first === '-s') return this.#lock(third!, argv)
    if (program === 'rm') return this.#remove(argv.slice(argv.indexOf('--') < 0 ? 2 : argv.indexOf('--') + 1))
    if (program === 'env') return this.#k3s(argv.slice(5))
    if (program === 'systemctl' && first === 'restart') return this.#restart(false)
    if (program === 'systemctl' && first === 'enable') {
      const enabled = this.units.get(second!.replace('.service', ''))
      if (enabled !== undefined) enabled.enabled = true
      return yes(enabled !== undefined)
    }
    if (program !== 'sh' || first !== '-c') throw new Error(`sim host "${this.name}" does not know ${argv.join(' ')}`)
    const unit = this.units.get(rest[0] ?? '')
    switch (third) {
      case 'write-file':
        this.change(`write ${rest[0]}`)
        this.write(rest[0]!, input, Number.parseInt(rest[1]!, 8))
        return ok()
      case 'copy-files':
        return this.#copy(input)
      case 'lock-verb':
        if (rest[1] === 'lock') this.write(rest[0]!, input)
        if (!this.files.has(rest[0]!)) return no(94)
        if (rest[1] === 'unlock') this.files.delete(rest[0]!)
        return this.#lock(rest[1]!, argv)
      case 'installer-start':
        return this.#installer(rest[0]!, rest.slice(4))
      case 'hold-unit':
      case 'release-unit':
        if (unit !== undefined) unit.enabled = third === 'release-unit'
        return ok()
      case 'stop-unit':
      case 'start-unit':
        if (unit !== undefined) unit.enabled = unit.active = third === 'start-unit'
        this.change(third)
        return ok()
      case 'rotate-certificates':
        return this.#restart(true)
      case 'halt-node':
        if (unit !== undefined) unit.enabled = unit.active = false
        this.change('halt')
        for (const path of this.files.keys())
          if (path.startsWith(`${rest[2]}/`)) {
            this.write(path.replace(rest[2]!, `${rest[2]}.older`), this.text(path)!)
            this.files.delete(path)
          }
        this.write(`${rest[1]}/receipt`, `${rest[3]}\n`)
        return ok()
      case 'start-again':
        if (unit !== undefined) unit.enabled = unit.active = true
        this.change('start')
        simStart(this.#world, this, 'start')
        return ok()
      case 'insist':
        return this.#k3s(rest.slice(5))
      case 'drop-images':
        this.files.delete('/var/lib/rancher/k3s/imported')
        return ok()
      case 'launch':
      case 'hook':
        return this.#shellRun(third, rest)
      case 'kept-hook':
        this.change(`hook ${this.text(rest[1]!)!.trimEnd().split('\n').at(-1)}`)
        if (rest[2] === '-') this.files.delete(rest[1]!)
        else this.write(rest[2]!, '')
        return ok()
      case 'mirror-line':
        return this.#mirror(rest[0]!, rest[1]!, input)
      case 'forget-operation':
        for (const path of this.files.keys()) if (path.startsWith(`${journals}/${rest[0]}.`)) this.files.delete(path)
        return ok()
      default: {
        const result = datastoreScript(this.#world, this, third ?? '', rest)
        if (result === undefined) throw new Error(`sim host "${this.name}" does not know the script ${third}`)
        return result
      }
    }
  }

  #restart(rotates: boolean): ExecResult {
    this.change(rotates ? 'rotate' : 'restart')
    if (rotates) this.files.delete(certificatePath)
    simRestart(this.#world, this)
    return ok()
  }

  /** Scripts, and after them the mark: all at once. Whatever they do is one change. */
  #shellRun(name: string, [, environment = '', , mark = '', ...words]: readonly string[]): ExecResult {
    const variables = this.text(environment) ?? ''
    this.files.delete(environment)
    if (mark !== '' && this.files.has(mark)) return ok()
    const scripts = words.filter((_, at) => at % 2 === 1).join(' ')
    this.change(`${name} ${scripts.replaceAll('\n', ' ')}`)
    this.environments.push(variables)
    if (mark !== '') this.write(mark, '')
    return ok()
  }

  #mirror(op: string, kind: string, line: string): ExecResult {
    const path = `${journals}/${op}.operator.jsonl`
    if (kind === 'begin' || this.files.has(path))
      this.write(path, Buffer.concat([this.files.get(path)?.content ?? Buffer.alloc(0), Buffer.from(line)]))
    return ok()
  }

  #remove(paths: readonly string[]): ExecResult {
    for (const path of paths)
      for (const file of this.files.keys())
        if (file === path || file.startsWith(`${path}/`)) {
          this.files.delete(file)
          this.change(`rm ${file}`)
        }
    return ok()
  }

  #copy(input: string): ExecResult {
    const lines = input.trimEnd().split('\n')
    for (let at = 0; at < lines.length; at += 3) {
      const [mode] = lines[at]!.split(' ')
      const file = this.files.get(lines[at + 1]!)!
      this.change(`copy ${lines[at + 2]}`)
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
    else this.write(path, `somebody ${op} ${epoch} ${Math.round(this.#world.clock.now() / 1000)}`)
    return ok(report(verb, { changed: false }))
  }

  /** What a verb does, all of it at once. */
  #installer(unit: string, [verb = '', ...args]: readonly string[]): ExecResult {
    if (this.powerCutDuring === verb) {
      this.powerCutDuring = undefined
      for (const path of this.files.keys()) if (path.startsWith('/run/')) this.files.delete(path)
      return ok('started\n')
    }
    this.change(`${verb} ${option(args, 'rootfs')}`)
    const { clock, verbSeconds } = this.#world
    const endsAt = clock.now() + (verbSeconds[verb] ?? 0) * 1000
    this.#running.set(unit, { result: simVerb(this.#world, this, verb, args), endsAt })
    return ok('started\n')
  }
}

function sizeOf(words: readonly string[]): number {
  return words.reduce((sum, word) => sum + word.length + 1, 100)
}

export function tokenOf(config: string, key: string): string | undefined {
  return new RegExp(`^${key}: "(.*)"$`, 'm').exec(config)?.[1]
}

function hideTokens(text: string): string {
  return text.replaceAll(/^([a-z-]*token[a-z-]*|datastore-endpoint):.*$/gm, '$1: (hidden)')
}
