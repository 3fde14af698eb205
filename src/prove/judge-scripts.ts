import { posix } from 'node:path'
import { MiB } from '../core/bytes.ts'
import type { Context } from '../core/context.ts'
import { hexOf } from '../core/digest.ts'
import type { Place } from '../workload/discovery.ts'
import type { Bundle, BundleFile } from './bundle.ts'
import type { Gaps } from './gaps.ts'
import { argumentTexts, operandsOf, optionValues, plainCommand, type PlainCommand } from './plain-command.ts'
import { ownDirectory, parseShell, type ShellCommand, type ShellText } from './shell-commands.ts'
import { isFetcher, urlsIn, type WayOut, waysOut } from './ways-out.ts'

/** A container image that a script has the cluster run. */
export interface ScriptImage extends Place {
  readonly image: string
  readonly mayPull: boolean
}

export interface ScriptOrigin extends Place {
  readonly inCluster?: boolean
  /** Against which relative names are read: the rootfs for what LAUNCH starts. Nothing is known of a script's own. */
  readonly directory?: string
  /** Of the script's file, for `$(dirname "$0")`. */
  readonly own?: string
}

const installScript = 'scripts/k3s-install.sh'
/** As rootfs.yaml calls it: what a template lays down is in the lock. */
const lockedName = 'install.sh'
const maxScript = 4 * MiB
const shells = /^(?:sh|bash|dash|ash|ksh|zsh)$/

/** Reads scripts as text, and names whatever they would have from elsewhere, or from a file that is not there. */
export class ScriptJudge {
  readonly #bundle: Bundle
  readonly #gaps: Gaps
  readonly images: ScriptImage[] = []
  /** How many were read. */
  scripts = 0
  commands = 0

  constructor(bundle: Bundle, gaps: Gaps) {
    this.#bundle = bundle
    this.#gaps = gaps
  }

  /** Every script of the bundle but upstream's installer as it was locked. */
  async judgeAll(ctx: Context): Promise<void> {
    for (const file of this.#bundle.files()) {
      ctx.signal.throwIfAborted()
      if (file.path.startsWith('images/') || this.#isLockedInstaller(file)) continue
      const language = await this.#languageOf(file, ctx)
      if (language === 'shell') {
        const text = (await this.#bundle.readText(file.path, ctx)) ?? ''
        this.judge(text, { file: file.path, line: 1, field: '', own: posix.dirname(file.path) })
      } else if (/\.service(?:\.tmpl)?$/.test(file.path)) await this.#judgeUnit(file, ctx)
      else if (language !== undefined)
        this.#gaps.doubt(`a script for ${language}, which is not read`, { file: file.path, line: 1, field: '' })
    }
  }

  #isLockedInstaller({ path, digest }: BundleFile): boolean {
    const { artifacts } = this.#bundle.metadata
    return (
      path === installScript &&
      artifacts.some(({ name, path: own, sha256 }) => name === lockedName && own === path && sha256 === hexOf(digest))
    )
  }

  /** What systemd would start. */
  async #judgeUnit({ path }: BundleFile, ctx: Context): Promise<void> {
    const text = (await this.#bundle.readText(path, ctx)) ?? ''
    for (const [index, line] of text.split('\n').entries()) {
      const [, field, command] = /^\s*(Exec\w+)\s*=\s*[-@:+!]*(.+)$/.exec(line) ?? []
      if (field !== undefined && command !== undefined) this.judge(command, { file: path, line: index + 1, field })
    }
  }

  async #languageOf(file: BundleFile, ctx: Context): Promise<string | undefined> {
    const isNamed = /\.(?:sh|bash)(?:\.tmpl)?$/.test(file.path)
    const mayRun = (file.mode & 0o111) !== 0 || /^(?:bin|scripts|cri)\//.test(file.path)
    if (!isNamed && !mayRun) return undefined
    const head = (await this.#bundle.head(file, 256, ctx)).toString('latin1')
    const interpreter = /^#!\s*(\S+)(?:[ \t]+(?:-S[ \t]+)?(\S+))?/.exec(head)
    const name = posix.basename(interpreter?.[1] ?? '')
    const program = name === 'env' ? posix.basename(interpreter?.[2] ?? '') : name
    if (program === '' ? isNamed : shells.test(program) || program === 'busybox')
      return file.size > maxScript ? 'the shell, but too large,' : 'shell'
    const isStandIn = this.#bundle.metadata.standIn === true && file.path === 'bin/k3s'
    return program === '' || isStandIn ? undefined : program
  }

  judge(text: string, origin: ScriptOrigin): void {
    this.scripts++
    const parsed = parseShell(text, origin.line)
    const plain = parsed.commands.flatMap(command => plainCommand(command) ?? [])
    const local = this.#localFiles(parsed.commands, plain)
    const fetches = plain.some(({ program }) => isFetcher(program))
    for (const command of plain) {
      this.commands++
      const place = { file: origin.file, line: command.line, field: origin.field }
      for (const way of this.#ways(command, parsed, fetches, origin)) this.#take(way, place)
      this.#judgeInstaller(command, parsed, place)
      if (origin.inCluster !== true)
        for (const texts of this.#filesOf(command, origin)) this.#needFile(texts, local, origin, place)
      this.#judgeInner(command, origin)
    }
  }

  /** One command as its words. */
  judgeWords(words: readonly string[], origin: ScriptOrigin): void {
    this.judge(words.map(word => `'${word.replaceAll("'", String.raw`'\''`)}'`).join(' '), origin)
  }

  #ways(command: PlainCommand, { functions }: ShellText, fetches: boolean, origin: ScriptOrigin): readonly WayOut[] {
    const inCluster = origin.inCluster === true
    if (functions.has(command.program)) {
      const urls = fetches ? urlsIn(argumentTexts(command), { inCluster }) : []
      return urls.map(what => ({ kind: 'network', what, why: `${command.program} would fetch it` }))
    }
    return waysOut(command, {
      inCluster,
      has: path => this.#exists(posix.normalize(posix.join(origin.directory ?? '.', path))),
    })
  }

  #take(way: WayOut, place: Place): void {
    if (way.kind === 'network') this.#gaps.add('network', way.what, way.why, place)
    else if (way.kind === 'image') this.images.push({ image: way.what, mayPull: way.mayPull, ...place })
    else this.#gaps.doubt(`where this goes is known on the host only: ${way.what}`, place)
  }

  /** Upstream's installer fetches the program unless it is told not to. */
  #judgeInstaller(command: PlainCommand, { commands }: ShellText, place: Place): void {
    if (!command.words.some(({ texts }) => texts.some(text => text.endsWith('/k3s-install.sh')))) return
    if (!shells.test(command.program) && command.program !== 'k3s-install.sh') return
    const exported = commands.flatMap(({ words, assignments }) => (words.length === 0 ? [...assignments] : []))
    const settings = new Map([...exported, ...command.assignments])
    for (const name of ['INSTALL_K3S_SKIP_DOWNLOAD', 'INSTALL_K3S_SKIP_SELINUX_RPM']) {
      if (settings.get(name)?.texts.every(text => text === 'true') === true) continue
      this.#gaps.add('network', `${installScript} without ${name}=true`, 'it would fetch from the internet', place)
    }
  }

  #judgeInner(command: PlainCommand, origin: ScriptOrigin): void {
    const at = command.words.findIndex(({ texts }) => /^-\w*c$/.test(texts[0]!))
    const script =
      command.program === 'eval'
        ? command.words[1]
        : shells.test(command.program) && at > 0
          ? command.words[at + 1]
          : undefined
    if (script === undefined) return
    this.scripts--
    this.judge(script.texts[0]!, { ...origin, line: script.line })
  }

  /** What the script makes by itself, or asks for before it uses it. */
  #localFiles(commands: readonly ShellCommand[], plain: readonly PlainCommand[]): ReadonlySet<string> {
    const made = commands.flatMap(({ writes }) => writes)
    const others = plain.flatMap(command => {
      if (['[', '[[', 'test', 'tee', 'touch', 'mkdir', 'rm'].includes(command.program)) return command.words.slice(1)
      if (['cp', 'mv', 'ln', 'install'].includes(command.program)) return operandsOf(command).slice(-1)
      return optionValues(command, ['-o', '-O', '--output', '--output-document'])
    })
    return new Set([...made, ...others].flatMap(({ texts }) => texts))
  }

  /** Names of files that a command would read, as far as they lie in the bundle; each with what it may be instead. */
  #filesOf(command: PlainCommand, { directory }: ScriptOrigin): readonly (readonly string[])[] {
    const anchored = command.words.flatMap(({ texts }) => (texts.some(isAnchored) ? [texts] : []))
    if (directory === undefined) return anchored
    const relative = readBy(command).filter(text => /^[^-/$\uE000~]/.test(text) && !text.includes('://'))
    return [...anchored, ...relative.map(text => [text])]
  }

  /** A variable may have several values: one of them is enough. */
  #needFile(texts: readonly string[], local: ReadonlySet<string>, origin: ScriptOrigin, place: Place): void {
    if (texts.some(text => text.replace(/^\$ROOTFS\//, '').includes('$') || local.has(text))) return
    const paths = texts.map(text => pathInBundle(text, origin))
    const isOutside = (path: string): boolean => path.startsWith('..') || path === '.'
    if (paths.some(path => isOutside(path) || this.#exists(path))) return
    this.#gaps.add('file', paths[0]!, 'a script uses it', place)
  }

  #exists(path: string): boolean {
    if (!/[*?[]/.test(path)) return this.#bundle.has(path)
    const escaped = path
      .replaceAll(/[.+^${}()|\\]/g, String.raw`\$&`)
      .replaceAll('*', '[^/]*')
      .replaceAll('?', '[^/]')
    const pattern = new RegExp(`^${escaped}$`)
    return this.#bundle.entries.some(entry => pattern.test(entry.path))
  }
}

function pathInBundle(text: string, { directory = '.', own = '.' }: ScriptOrigin): string {
  const path = text.startsWith(ownDirectory)
    ? posix.join(own, text.slice(1))
    : isAnchored(text)
      ? text.replace(/^(?:\$ROOTFS|\/var\/lib\/cloudimg\/current)\//, '')
      : posix.join(directory, text)
  return posix.normalize(path).replace(/\/$/, '')
}

function isAnchored(text: string): boolean {
  return (
    text.startsWith('$ROOTFS/') || text.startsWith(ownDirectory + '/') || text.startsWith('/var/lib/cloudimg/current/')
  )
}

function readBy(command: PlainCommand): readonly string[] {
  const { program, words } = command
  const first = words[0]!.texts
  const called = first.filter(text => text.includes('/'))
  if (shells.test(program) || program === '.' || program === 'source') {
    const isInline = words.some(({ texts }) => /^-\w*[cs]$/.test(texts[0]!))
    return [...called, ...(isInline ? [] : (operandsOf(command)[0]?.texts ?? []))]
  }
  const kube = program === 'k3s' && words[1]?.texts[0] === 'kubectl' ? 'kubectl' : program
  const options =
    kube === 'kubectl' ? ['-f', '--filename', '-k', '--kustomize'] : kube === 'helm' ? ['-f', '--values'] : []
  const given = optionValues(command, options).flatMap(({ texts }) => texts.flatMap(text => text.split(',')))
  if (kube !== 'helm') return [...called, ...given]
  const [verb = '', ...names] = operandsOf(
    command,
    /^(?:-[fn]|--(?:values|set\S*|namespace|version|timeout))$/,
  ).flatMap(({ texts: [text = ''] }) => text)
  const chart = /^(?:install|upgrade|template)$/.test(verb) ? (names[1] ?? names[0]) : undefined
  return [...called, ...given, ...(chart !== undefined && /^(?:\.|charts\/)|\.tgz$/.test(chart) ? [chart] : [])]
}
