import { posix } from 'node:path'
import type { Diagnostic } from '../core/diagnostic.ts'
import { type Flag, findFlag, type Heredoc, type Run, type Stage } from '../kubefile/ast.ts'
import { runEnvironment, isProxyArg, type Scope } from '../kubefile/scope.ts'
import type { Expander } from './expander.ts'
import type { NamedContexts } from './named-context.ts'
import type { RunCommand, RunPlan } from './plan.ts'
import { planMount } from './plan-run-mount.ts'

/** Where a RUN stands. */
export interface RunPlace {
  readonly expander: Expander
  readonly scope: Scope
  readonly shell: readonly string[]
  readonly workdir: string
  readonly user: string | undefined
  readonly stages: readonly Stage[]
  readonly contexts: NamedContexts
  /** Of the stage it stands in. */
  readonly number: number
  readonly report: (diagnostic: Diagnostic) => void
}

/** RUN with everything that is known before anything runs; undefined where something is wrong, which is reported. */
export function planRun(run: Run, place: RunPlace): RunPlan | undefined {
  const mounts = run.flags.filter(({ name }) => name === 'mount').map(flag => planMount(flag, place))
  if (mounts.some(mount => mount === undefined)) return undefined
  const env = runEnvironment(place.scope)
  return {
    command: commandOf(run, place.shell),
    env,
    unkeyed: Object.keys(env).filter(name => isProxyArg(name) && !place.scope.env.has(name)),
    workdir: place.workdir,
    user: place.user,
    network: networkOf(findFlag(run, 'network')),
    mounts: mounts.filter(mount => mount !== undefined),
  }
}

function networkOf(flag: Flag | undefined): RunPlan['network'] {
  return flag?.value?.text === 'default' || flag?.value?.text === 'host' ? flag.value.text : 'none'
}

/** Forms as BuildKit has them (facts/oci.md §4.1). */
function commandOf({ command }: Run, shell: readonly string[]): RunCommand {
  switch (command.form) {
    case 'exec': {
      const argv = command.argv.map(word => word.text)
      return { argv, program: argv[0] ?? '' }
    }
    case 'shell': {
      const bodies = command.heredocs.map(({ body, name }) => `${body}${name}\n`).join('')
      const text = bodies === '' ? command.script.text : `${command.script.text}\n${bodies}`
      return { argv: [...shell, text], program: shell[0] ?? '' }
    }
    case 'heredoc':
      return scriptOf(command.heredoc, shell)
  }
}

function scriptOf({ name, body }: Heredoc, shell: readonly string[]): RunCommand {
  const [, interpreter] = /^#!\s*(\S+)/.exec(body) ?? []
  if (interpreter === undefined) return { argv: [...shell, body], program: shell[0] ?? '' }
  const path = posix.join('/dev/pipes', posix.basename(name))
  return { argv: [path], program: interpreter, script: { path, text: body } }
}
