import { readLock } from '../artifact/lock.ts'
import type { Diagnostic } from '../core/diagnostic.ts'
import { hostPlatform } from '../core/platform.ts'
import { type Fixed, fixKubefile } from '../kubefile/lint/fix.ts'
import { lintKubefile, type LintOptions } from '../kubefile/lint/lint.ts'
import { parseKubefile } from '../kubefile/parse.ts'
import type { BuildContext } from './context.ts'
import { readContextFacts } from './context-facts.ts'
import { planBuild } from './plan-build.ts'

export interface LintRequest {
  readonly kubefile: { readonly filename: string; readonly source: string }
  /** Undefined: nothing is said of files. */
  readonly context?: BuildContext | undefined
  /** Undefined: nothing is said of pins. */
  readonly lockPath?: string | undefined
  readonly buildArgs: Readonly<Record<string, string>>
  readonly target?: string | undefined
  readonly fix: boolean
}

/**
 * All that can be said of a Kubefile without building it: its text, its context, its lock, and its plan as far as no base
 * image has to be known. @throws InvalidFileError for a broken lock, USAGE for a target that is no stage.
 */
export async function lintBuild(request: LintRequest): Promise<Fixed> {
  const { filename, source } = request.kubefile
  const options = await lintOptions(request)
  const result = request.fix
    ? fixKubefile(source, filename, options)
    : { source, fixed: [], left: lintKubefile(source, filename, options) }
  const left = [...result.left, ...planMistakes(result.source, request, result.left)]
  return { ...result, left: left.toSorted((a, b) => a.span.start.offset - b.span.start.offset) }
}

async function lintOptions({ context, lockPath, target }: LintRequest): Promise<LintOptions> {
  return {
    context: context === undefined ? undefined : await readContextFacts(context),
    isPinned: lockPath === undefined ? undefined : await pinsOf(lockPath),
    target,
  }
}

async function pinsOf(lockPath: string): Promise<(locator: string) => boolean> {
  const { entries } = await readLock(lockPath)
  const pinned = new Set(entries.map(({ locator }) => locator))
  return locator => pinned.has(locator) || (URL.canParse(locator) && pinned.has(new URL(locator).href))
}

/** What planning refuses and no rule has told of. */
function planMistakes(source: string, request: LintRequest, told: readonly Diagnostic[]): readonly Diagnostic[] {
  const { kubefile } = parseKubefile(source, request.kubefile.filename)
  if (kubefile === undefined) return []
  const { buildArgs, target } = request
  const platform = hostPlatform()
  const wishes = {
    platform,
    buildPlatform: platform,
    buildArgs,
    bases: new Map(),
    ...(target === undefined ? {} : { target }),
  }
  const places = new Set(told.filter(({ severity }) => severity === 'error').map(({ span }) => span.start.offset))
  return planBuild(kubefile, wishes).diagnostics.filter(
    ({ rule, span }) => rule !== 'not-built-yet' && !places.has(span.start.offset),
  )
}
