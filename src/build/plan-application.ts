import { posix } from 'node:path'
import type { Span } from '../core/diagnostic.ts'
import { suggest } from '../core/suggest.ts'
import type { App, AppCmds, AppEnv, List, Word } from '../kubefile/ast.ts'
import { unquoteWord } from '../kubefile/words.ts'
import type { Expander } from './expander.ts'
import type { CopyItem, CopyPlan, LaunchPlan, PlannedApplication } from './plan.ts'
import { urlFileName } from './url-file-name.ts'

/** Where sealer's applications lie in the tree. */
export const applicationsPath = 'application/apps'

/** sealer's label for KUBEVERSION (facts/sealer.md §2.1). */
export const kubeVersionLabel = 'app.alpha.sealer.io/supported-kube-version'

export type Report = (rule: string, message: string, span: Span, hint?: string) => void

/**
 * sealer's words of one stage (facts/sealer.md §2). APP, APPENV and APPCMDS may stand in any order, so names are looked
 * up at the end.
 */
export class ApplicationPlanner {
  readonly #expander: Expander
  readonly #report: Report
  readonly #applications: Map<string, PlannedApplication>
  readonly #env = new Map<string, { readonly word: Word; readonly pairs: readonly (readonly [string, string])[] }[]>()
  readonly #commands = new Map<string, { readonly word: Word; readonly argv: readonly string[] }>()
  #launch: LaunchPlan | undefined

  constructor(inherited: readonly PlannedApplication[], expander: Expander, report: Report) {
    this.#applications = new Map(inherited.map(application => [application.name, application]))
    this.#expander = expander
    this.#report = report
  }

  /** The copy that lays the application's files down, and its name; undefined where something is wrong. */
  app(instruction: App): { readonly name: string; readonly copy: CopyPlan } | undefined {
    const name = this.#name(instruction.name)
    if (name === undefined) return undefined
    if (this.#applications.has(name)) return this.#refuseSecond(name, instruction)
    const sources = instruction.sources.map(word => this.#source(word))
    if (sources.some(source => source === undefined)) return undefined
    const items = sources as readonly CopyItem[]
    this.#applications.set(name, { name, sources: items.map(sourceName), env: {} })
    return { name, copy: copyTo(`/${applicationsPath}/${name}/`, items) }
  }

  // Its files would lie among those that are there.
  #refuseSecond(name: string, { kind, name: word }: App): undefined {
    const isOwn = this.#applications.get(name)?.inherited === undefined
    const [message, hint] = isOwn
      ? [`application "${name}" is declared twice`, `put all its sources behind one ${kind}, or choose another name`]
      : [
          `application "${name}" comes with the base image`,
          'choose another name; APPENV and APPCMDS change how that one starts',
        ]
    this.#report('application', message, word.span, hint)
    return undefined
  }

  /** Keeps what the instruction says, and gives it in words. */
  declare(instruction: AppEnv | AppCmds | List): string {
    switch (instruction.kind) {
      case 'APPENV':
        this.#addSettings(instruction)
        return `set variables of ${instruction.app.text}`
      case 'APPCMDS':
        this.#setCommand(instruction)
        return `start ${instruction.app.text} by ${textsOf(instruction.argv).join(' ')}`
      case 'LAUNCH':
        this.#launchApplications(instruction)
        return `start ${textsOf(instruction.items).join(', ')}`
      default:
        this.#launchCommands(instruction)
        return `run ${textsOf(instruction.items).join('; ')}`
    }
  }

  #addSettings(instruction: AppEnv): void {
    const name = this.#expander.word(instruction.app)
    const pairs = instruction.pairs.map(
      ({ key, value }) => [this.#expander.word(key) ?? '', this.#expander.word(value) ?? ''] as const,
    )
    if (name === undefined) return
    this.#env.set(name, [...(this.#env.get(name) ?? []), { word: instruction.app, pairs }])
  }

  #setCommand(instruction: AppCmds): void {
    const name = unquoteWord(instruction.app.text, this.#expander.escape)
    this.#commands.set(name, { word: instruction.app, argv: textsOf(instruction.argv) })
  }

  #launchApplications(instruction: List): void {
    const applications = instruction.items.map(item => this.#expander.word(item) ?? '')
    this.#launch = { from: 'LAUNCH', applications, commands: [], words: instruction.items }
  }

  #launchCommands(instruction: List): void {
    const commands = textsOf(instruction.items)
    this.#launch = { from: 'CMDS', applications: [], commands, words: [] }
  }

  /** What CMD says counts as CMDS with one command, in a cluster image. */
  cmd(command: string): void {
    this.#launch = { from: 'CMD', applications: [], commands: [command], words: [] }
  }

  result(): { readonly applications: readonly PlannedApplication[]; readonly launch: LaunchPlan | undefined } {
    for (const [name, settings] of this.#env) for (const { word, pairs } of settings) this.#addEnv(name, word, pairs)
    for (const [name, { word, argv }] of this.#commands) {
      const application = this.#known(name, word)
      if (application !== undefined) this.#applications.set(name, { ...application, command: argv })
    }
    this.#launch?.applications.forEach((name, index) => this.#known(name, this.#launch!.words[index]!))
    return { applications: [...this.#applications.values()], launch: this.#launch }
  }

  #addEnv(name: string, word: Word, pairs: readonly (readonly [string, string])[]): void {
    const application = this.#known(name, word)
    if (application === undefined) return
    this.#applications.set(name, { ...application, env: { ...application.env, ...Object.fromEntries(pairs) } })
  }

  #known(name: string, word: Word): PlannedApplication | undefined {
    const application = this.#applications.get(name)
    if (application !== undefined) return application
    const near = suggest(name, this.#applications.keys())
    const hint = near === undefined ? `declare it: APP ${name} local://…` : `did you mean ${near}?`
    this.#report('application', `no APP, CNI or CSI is called "${name}"`, word.span, hint)
    return undefined
  }

  /** It becomes the name of a directory. */
  #name(word: Word): string | undefined {
    const name = this.#expander.word(word)
    if (name === undefined || /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) return name
    const hint = 'begin with a letter or digit; go on with letters, digits, ".", "_" and "-"'
    this.#report('application', `"${name}" is no name for an application`, word.span, hint)
    return undefined
  }

  #source(word: Word): CopyItem | undefined {
    const text = this.#expander.word(word)
    if (text === undefined) return undefined
    if (/^https?:\/\//i.test(text) && URL.canParse(text)) return { kind: 'url', url: text, checksum: undefined }
    const path = /^local:\/\/(.+)$/.exec(text)?.[1]
    if (path !== undefined) return { kind: 'path', path }
    this.#report('app-source', `"${text}" is no source`, word.span, `write local://${text} for a file of the context`)
    return undefined
  }
}

function textsOf(words: readonly Word[]): readonly string[] {
  return words.map(({ text }) => text)
}

function copyTo(target: string, sources: readonly CopyItem[]): CopyPlan {
  return {
    origin: { from: 'context' },
    sources,
    target,
    owner: undefined,
    mode: undefined,
    wellKnownNames: false,
    link: false,
    parents: false,
    exclude: [],
    unpack: false,
  }
}

/** The name that the source has in the application's directory; a directory's own name does not count. */
function sourceName(item: CopyItem): string {
  switch (item.kind) {
    case 'url':
      return urlFileName(item.url)
    case 'path':
      return posix.basename(item.path)
    case 'text':
      return item.name
    case 'git':
      return posix.basename(item.source.remote, '.git')
  }
}
