import type { Diagnostic, Span } from '../core/diagnostic.ts'
import {
  type Arg,
  type Base,
  type Cmd,
  type Copy,
  type Env,
  findFlag,
  type Instruction,
  isHeredoc,
  type Kubefile,
  keywordSpan,
  type Word,
} from '../kubefile/ast.ts'
import { resolveTemplateRef, rootfsTemplate } from '../kubefile/base-template.ts'
import { ExpansionError, expandWord, expansionDiagnostic } from '../kubefile/expand.ts'
import { instructionSpec } from '../kubefile/instructions.ts'
import { globalScope, type Scope, type ScopeRequest, stageScope } from '../kubefile/scope.ts'
import type { BuildPlan, OwnerWish, Step } from './plan.ts'

/**
 * What one platform's build will do. Pure. All that cannot be planned is reported at once, each at its place: what is
 * wrong, and what is understood but cannot be built yet.
 */
export function planBuild(
  kubefile: Kubefile,
  request: ScopeRequest,
): { readonly plan: BuildPlan; readonly diagnostics: readonly Diagnostic[] } {
  return new Planner(kubefile, request).plan()
}

class Planner {
  readonly #kubefile: Kubefile
  readonly #request: ScopeRequest
  readonly #steps: Step[] = []
  readonly #diagnostics: Diagnostic[] = []
  #scope: Scope

  constructor(kubefile: Kubefile, request: ScopeRequest) {
    this.#kubefile = kubefile
    this.#request = request
    this.#scope = globalScope(request)
  }

  plan(): { readonly plan: BuildPlan; readonly diagnostics: readonly Diagnostic[] } {
    const { globalArgs, stages } = this.#kubefile
    for (const arg of globalArgs) this.#addArg(arg)
    const global = this.#scope
    for (const [number, stage] of stages.entries()) {
      this.#scope = stageScope(global)
      if (number > 0 && stage.from !== undefined) this.#refuse('several stages', keywordSpan(stage.from))
      if (stage.from !== undefined) this.#planFrom(stage.from, global)
      for (const instruction of stage.instructions) this.#planInstruction(instruction)
    }
    const usesTemplate = this.#steps.some(step => step.kind === 'template')
    return {
      plan: { platform: this.#request.platform, steps: this.#steps, usesTemplate },
      diagnostics: this.#diagnostics,
    }
  }

  #planFrom(from: Extract<Instruction, { kind: 'FROM' }>, global: Scope): void {
    const image = this.#expand(from.image, global)
    if (image !== undefined && image !== 'scratch') this.#refuse(`FROM "${image}"`, from.image.span)
    this.#refuseUnsupported(from)
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
        return this.#planCmd(instruction)
      case 'COPY':
        return this.#planCopy(instruction)
      case 'BASE':
        return this.#planBase(instruction)
      default:
        this.#refuse(instruction.kind, keywordSpan(instruction))
    }
  }

  #addArg(arg: Arg): void {
    // All of them see the variables before this instruction, as in ENV (facts/oci.md §4.2).
    const pairs = arg.pairs.map(({ key, value }) => [this.#expand(key), value && this.#expand(value)] as const)
    for (const [name, text] of pairs) if (name !== undefined) this.#scope = this.#scope.withArg(name, text)
  }

  #planPairs(instruction: Env): void {
    // All of them see the environment before this instruction (facts/oci.md §4.2).
    const pairs = instruction.pairs.map(
      ({ key, value }) => [this.#expand(key) ?? '', this.#expand(value) ?? ''] as const,
    )
    if (instruction.kind === 'ENV') for (const [name, value] of pairs) this.#scope = this.#scope.withEnv(name, value)
    this.#add(instruction, { kind: 'configure', change: { set: instruction.kind === 'ENV' ? 'env' : 'labels', pairs } })
  }

  #planCmd({ command, ...instruction }: Cmd): void {
    const argv = command.form === 'exec' ? command.argv.map(word => word.text) : ['/bin/sh', '-c', command.script.text]
    this.#add(instruction, { kind: 'configure', change: { set: 'cmd', argv } })
  }

  #planCopy(copy: Copy): void {
    const heredoc = copy.sources.find(isHeredoc)
    if (heredoc !== undefined) return this.#refuse('COPY of a here-document', heredoc.span)
    const sources = copy.sources.map(source => this.#expand(source))
    const target = this.#expand(copy.target)
    const mode = this.#mode(copy)
    const owner = this.#owner(copy)
    if (target === undefined || sources.includes(undefined)) return
    this.#add(copy, { kind: 'copy', sources: sources as string[], target, mode, owner, wellKnownNames: true })
  }

  #mode(copy: Copy): number | undefined {
    const value = findFlag(copy, 'chmod')?.value
    const text = value === undefined ? undefined : this.#expand(value)
    if (value === undefined || text === undefined) return undefined
    if (/^[0-7]{1,4}$/.test(text)) return Number.parseInt(text, 8)
    if (/^[ugoa]*[-+=]/.test(text))
      this.#refuse('--chmod with symbols', value.span, 'write the mode in octal: --chmod=0755')
    else this.#report('chmod', `"${text}" is no mode`, value.span, 'write the mode in octal: --chmod=0755')
    return undefined
  }

  #owner(copy: Copy): OwnerWish | undefined {
    const value = findFlag(copy, 'chown')?.value
    const text = value === undefined ? undefined : this.#expand(value)
    if (value === undefined || text === undefined) return undefined
    const [user = '', group, ...rest] = text.split(':')
    if (user !== '' && group !== '' && rest.length === 0) return { user, group }
    this.#report(
      'chown',
      `"${text}" is no owner`,
      value.span,
      'write --chown=USER or --chown=USER:GROUP, numbers or names',
    )
    return undefined
  }

  #planBase(base: Base): void {
    const template = this.#expand(base.template)
    const version = base.version === undefined ? undefined : this.#expand(base.version)
    if (template === undefined || (base.version !== undefined && version === undefined)) return
    const ref = resolveTemplateRef(template, version)
    if (ref.template === rootfsTemplate) this.#add(base, { kind: 'collect' })
    else this.#add(base, { kind: 'template', ...ref })
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

  #expand(word: Word, scope: Scope = this.#scope): string | undefined {
    try {
      return expandWord(word.text, name => scope.lookup(name), { escape: this.#kubefile.escape }).value
    } catch (error) {
      if (!(error instanceof ExpansionError)) throw error
      this.#diagnostics.push(expansionDiagnostic(error, word))
      return undefined
    }
  }

  #add(instruction: Pick<Instruction, 'original' | 'span'>, step: StepBody): void {
    this.#steps.push({ ...step, createdBy: instruction.original, span: instruction.span })
  }

  #refuse(
    what: string,
    span: Span,
    hint = 'this version builds FROM scratch, BASE, COPY, ARG, ENV, LABEL and CMD',
  ): void {
    this.#report('not-built-yet', `${what} cannot be built yet`, span, hint)
  }

  #report(rule: string, message: string, span: Span, hint: string): void {
    this.#diagnostics.push({ severity: 'error', rule, message, span, hint })
  }
}

type StepBody = Step extends infer One ? (One extends Step ? Omit<One, 'createdBy' | 'span'> : never) : never
