import type { Diagnostic, Span } from '../core/diagnostic.ts'
import type { Platform } from '../core/platform.ts'
import {
  type App,
  type Arg,
  type Base,
  type Cmd,
  type Env,
  type Instruction,
  type Kubefile,
  keywordSpan,
  type List,
  type Onbuild,
  type Run,
  type Stage,
  type Text,
} from '../kubefile/ast.ts'
import { resolveTemplateRef, rootfsTemplate } from '../kubefile/base-template.ts'
import { instructionSpec } from '../kubefile/instructions.ts'
import { parseKubefile } from '../kubefile/parse.ts'
import { formatInstruction } from '../kubefile/print.ts'
import type { Scope } from '../kubefile/scope.ts'
import { unquoteWord } from '../kubefile/words.ts'
import { applyChange, type ConfigChange, type StageConfig } from './container-config.ts'
import { Expander } from './expander.ts'
import type { NamedContexts } from './named-context.ts'
import { ApplicationPlanner, kubeVersionLabel } from './plan-application.ts'
import type { StageBase, StagePlan, Step } from './plan.ts'
import { commandArgv, healthcheckOf, isSignal, parsePorts, resolveWorkdir, shellLine } from './plan-config.ts'
import { parseOwner, planCopy } from './plan-copy.ts'
import { planRun } from './plan-run.ts'

/** What a stage begins with. */
export interface StageStart {
  readonly number: number
  readonly name: string | undefined
  readonly base: StageBase
  /** Whether nothing but this Kubefile has put anything into the tree. */
  readonly isScratch: boolean
  readonly platform: Platform
  readonly inherited: StageConfig
  /** The base's ONBUILD lines. */
  readonly triggers: readonly string[]
  readonly scope: Scope
}

export interface PlannedStage {
  readonly plan: StagePlan
  /** At its end: what a stage that begins with this one goes on from. */
  readonly scope: Scope
  readonly isScratch: boolean
}

export interface StagePlanning {
  readonly kubefile: Kubefile
  readonly contexts: NamedContexts
  readonly diagnostics: Diagnostic[]
}

export function planStage(stage: Stage, start: StageStart, planning: StagePlanning): PlannedStage {
  return new StagePlanner(start, planning).plan(stage)
}

class StagePlanner {
  readonly #start: StageStart
  readonly #planning: StagePlanning
  readonly #steps: Step[] = []
  readonly #uses = new Set<number>()
  readonly #expander: Expander
  readonly #applications: ApplicationPlanner
  #state: StageConfig
  #scope: Scope
  #hasOwnCmd = false

  constructor(start: StageStart, planning: StagePlanning) {
    this.#start = start
    this.#planning = planning
    this.#state = start.inherited
    this.#scope = start.scope
    if (start.base.from === 'stage') this.#uses.add(start.base.stage)
    this.#expander = new Expander(planning.kubefile.escape, planning.diagnostics, name => this.#scope.lookup(name))
    this.#applications = new ApplicationPlanner(start.inherited.applications ?? [], this.#expander, (...mistake) =>
      this.#report(...mistake),
    )
  }

  plan(stage: Stage): PlannedStage {
    for (const trigger of this.#start.triggers) this.#planTrigger(trigger, stage)
    for (const instruction of stage.instructions) this.#planInstruction(instruction)
    const { number, name, base, platform, isScratch } = this.#start
    const uses = [...this.#uses].sort((a, b) => a - b)
    const made = { ...this.#state, ...this.#applications.result() }
    const plan = { number, name, base, uses, platform, steps: this.#steps, ...made }
    return { plan, scope: this.#scope, isScratch }
  }

  /** An ONBUILD line of the base, as if it stood behind FROM; its mistakes are shown there. */
  #planTrigger(trigger: string, { from }: Stage): void {
    const span = from === undefined ? { start: beginning, end: beginning } : from.span
    const { kubefile, diagnostics } = parseKubefile(`${trigger}\n`)
    const found = diagnostics.find(({ severity }) => severity === 'error')
    if (kubefile === undefined) {
      return this.#report('onbuild', `the base's ONBUILD "${trigger}" cannot be read: ${found?.message ?? ''}`, span)
    }
    const before = this.#planning.diagnostics.length
    for (const instruction of kubefile.stages[0]?.instructions ?? []) this.#planInstruction({ ...instruction, span })
    const own = this.#planning.diagnostics.splice(before)
    this.#planning.diagnostics.push(...own.map(diagnostic => ({ ...diagnostic, span })))
  }

  #planInstruction(instruction: Instruction): void {
    if (this.#refuseUnsupported(instruction)) return
    switch (instruction.kind) {
      case 'ARG':
        return this.#addArg(instruction)
      case 'ENV':
      case 'LABEL':
        return this.#planPairs(instruction)
      case 'CMD':
      case 'ENTRYPOINT':
        return this.#planCommand(instruction)
      case 'COPY':
      case 'ADD':
        return this.#planCopy(instruction)
      case 'BASE':
        return this.#planBase(instruction)
      case 'RUN':
        return this.#planRun(instruction)
      case 'WORKDIR':
      case 'USER':
      case 'STOPSIGNAL':
      case 'MAINTAINER':
        return this.#planText(instruction)
      case 'EXPOSE':
      case 'VOLUME':
        return this.#planList(instruction)
      case 'SHELL':
        return this.#configure(instruction, { set: 'shell', argv: instruction.argv.map(word => word.text) })
      case 'HEALTHCHECK': {
        const { escape } = this.#planning.kubefile
        const word = { text: instruction.original, span: instruction.span }
        const healthcheck = this.#expander.at(word, () =>
          healthcheckOf(instruction, flag => unquoteWord(flag.text, escape)),
        )
        if (healthcheck !== undefined) this.#configure(instruction, { set: 'healthcheck', healthcheck })
        return
      }
      case 'ONBUILD':
        return this.#configure(instruction, { set: 'onbuild', trigger: triggerText(instruction) })
      case 'APP':
      case 'CNI':
      case 'CSI':
        return this.#planApp(instruction)
      case 'APPENV':
      case 'APPCMDS':
      case 'LAUNCH':
      case 'CMDS':
        return this.#add(instruction, { kind: 'declare', what: this.#applications.declare(instruction) })
      case 'KUBEVERSION': {
        const range = unquoteWord(instruction.value.text, this.#expander.escape)
        return this.#configure(instruction, { set: 'labels', pairs: [[kubeVersionLabel, range]] })
      }
      default:
        this.#refuse(instruction.kind, keywordSpan(instruction))
    }
  }

  #addArg(arg: Arg): void {
    // All of them see the variables before this instruction, as in ENV (facts/oci.md §4.2).
    const pairs = arg.pairs.map(
      ({ key, value }) => [this.#expander.word(key), value && this.#expander.word(value)] as const,
    )
    for (const [name, text] of pairs) if (name !== undefined) this.#scope = this.#scope.withArg(name, text)
  }

  #planPairs(instruction: Env): void {
    // All of them see the environment before this instruction (facts/oci.md §4.2).
    const pairs = instruction.pairs.map(
      ({ key, value }) => [this.#expander.word(key) ?? '', this.#expander.word(value) ?? ''] as const,
    )
    if (instruction.kind === 'ENV') for (const [name, value] of pairs) this.#scope = this.#scope.withEnv(name, value)
    this.#configure(instruction, { set: instruction.kind === 'ENV' ? 'env' : 'labels', pairs })
  }

  #planCommand(instruction: Cmd): void {
    const argv = commandArgv(instruction.command, this.#shell)
    if (instruction.kind === 'CMD') {
      this.#hasOwnCmd = true
      this.#applications.cmd(shellLine(instruction.command))
      return this.#configure(instruction, { set: 'cmd', argv })
    }
    this.#configure(instruction, { set: 'entrypoint', argv, resetsCmd: !this.#hasOwnCmd })
  }

  #planText(instruction: Text): void {
    const { kind, value } = instruction
    if (kind === 'MAINTAINER') return this.#configure(instruction, { set: 'author', author: value.text })
    const text = this.#expander.word(value)
    if (text === undefined) return
    if (text === '') return this.#report('empty', `${kind} expands to nothing`, value.span)
    if (kind === 'WORKDIR') return this.#planWorkdir(instruction, text)
    if (kind === 'USER') return this.#configure(instruction, { set: 'user', user: text })
    if (isSignal(text)) return this.#configure(instruction, { set: 'stop-signal', signal: text })
    this.#report('signal', `"${text}" is no signal`, value.span, 'write a name or a number: SIGTERM, 15')
  }

  /** The directory is made for the user that is set, as BuildKit does (facts/oci.md §4.3). */
  #planWorkdir(instruction: Text, text: string): void {
    const path = resolveWorkdir(this.#workdir, text)
    this.#apply({ set: 'workdir', path })
    const user = this.#state.config.User
    const owner = user === undefined ? undefined : parseOwner(user)
    this.#add(instruction, { kind: 'directory', path, owner })
  }

  #planList(instruction: List): void {
    if (instruction.kind === 'VOLUME') {
      const paths = instruction.items.flatMap(item => this.#expander.word(item) ?? [])
      if (paths.includes('')) return this.#report('empty', 'VOLUME expands to nothing', instruction.span)
      return this.#configure(instruction, { set: 'volumes', paths })
    }
    const ports = instruction.items.flatMap(
      item => this.#expander.at(item, () => this.#expander.words(item).flatMap(parsePorts)) ?? [],
    )
    this.#configure(instruction, { set: 'ports', ports })
  }

  #planCopy(instruction: Extract<Instruction, { kind: 'COPY' | 'ADD' }>): void {
    const { kubefile, diagnostics } = this.#planning
    const copy = planCopy(instruction, {
      expander: this.#expander,
      workdir: this.#workdir,
      isScratch: this.#start.isScratch,
      stages: kubefile.stages,
      contexts: this.#planning.contexts,
      number: this.#start.number,
      report: diagnostic => diagnostics.push(diagnostic),
    })
    if (copy === undefined) return
    if (copy.origin.from === 'stage') this.#uses.add(copy.origin.stage)
    this.#add(instruction, { kind: 'copy', ...copy })
  }

  #planRun(instruction: Run): void {
    const { kubefile, diagnostics } = this.#planning
    const run = planRun(instruction, {
      expander: this.#expander,
      scope: this.#scope,
      shell: this.#shell,
      workdir: this.#workdir,
      user: this.#state.config.User,
      stages: kubefile.stages,
      contexts: this.#planning.contexts,
      number: this.#start.number,
      report: diagnostic => diagnostics.push(diagnostic),
    })
    if (run === undefined) return
    for (const mount of run.mounts) {
      if ('origin' in mount && mount.origin?.from === 'stage') this.#uses.add(mount.origin.stage)
    }
    this.#add(instruction, { kind: 'run', ...run })
  }

  #planApp(instruction: App): void {
    const planned = this.#applications.app(instruction)
    if (planned === undefined) return
    this.#add(instruction, { kind: 'copy', ...planned.copy })
    if (instruction.kind === 'APP') return
    const label = `cluster.alpha.sealer.io/kube-${instruction.kind.toLowerCase()}-${planned.name}`
    this.#apply({ set: 'labels', pairs: [[label, 'true']] })
  }

  #planBase(base: Base): void {
    const template = this.#expander.word(base.template)
    const version = base.version === undefined ? undefined : this.#expander.word(base.version)
    if (template === undefined || (base.version !== undefined && version === undefined)) return
    const ref = resolveTemplateRef(template, version)
    if (ref.template === rootfsTemplate) this.#add(base, { kind: 'collect' })
    else this.#add(base, { kind: 'template', ...ref })
  }

  get #shell(): readonly string[] {
    return this.#state.config.Shell ?? ['/bin/sh', '-c']
  }

  get #workdir(): string {
    return this.#state.config.WorkingDir ?? '/'
  }

  /** Whether the instruction, or a flag of it, is understood but cannot be built yet. */
  #refuseUnsupported(instruction: Instruction): boolean {
    const spec = instructionSpec(instruction.kind)
    if (spec?.support !== 'built') {
      this.#refuse(instruction.kind, keywordSpan(instruction))
      return true
    }
    const flag = instruction.flags.find(
      ({ name }) => spec.flags.find(known => known.name === name)?.support === 'parsed',
    )
    if (flag !== undefined) this.#refuse(`${instruction.kind} --${flag.name}`, flag.span)
    return flag !== undefined
  }

  #configure(instruction: Pick<Instruction, 'original' | 'span'>, change: ConfigChange): void {
    this.#apply(change)
    this.#add(instruction, { kind: 'configure', change })
  }

  #apply(change: ConfigChange): void {
    this.#state = applyChange(this.#state, change)
  }

  #add(instruction: Pick<Instruction, 'original' | 'span'>, step: StepBody): void {
    this.#steps.push({ ...step, createdBy: instruction.original, span: instruction.span })
  }

  #refuse(what: string, span: Span): void {
    const hint = 'docs/kubefile.md says what this version builds'
    this.#report('not-built-yet', `${what} cannot be built yet`, span, hint)
  }

  #report(rule: string, message: string, span: Span, hint?: string): void {
    this.#planning.diagnostics.push({
      severity: 'error',
      rule,
      message,
      span,
      ...(hint === undefined ? {} : { hint }),
    })
  }
}

type StepBody = Step extends infer One ? (One extends Step ? Omit<One, 'createdBy' | 'span'> : never) : never

const beginning = { offset: 0, line: 1, column: 1 }

/** As written where it is one line; the config has no other place for the bodies of here-documents. */
function triggerText({ instruction }: Onbuild): string {
  const text = formatInstruction(instruction)
  return text.indexOf('\n') === text.length - 1 ? instruction.original : text.trimEnd()
}
