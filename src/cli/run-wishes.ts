import { resolve } from 'node:path'
import { parseExecutorName } from '../build/executor/choose-executor.ts'
import type { RunWishes } from '../build/executor/run-services.ts'
import type { Secrets, SecretSource } from '../build/executor/secrets.ts'
import { CloudimgError } from '../core/error.ts'
import { formatReference, parseReference } from '../core/reference.ts'

export interface RunFlags {
  readonly executor?: string
  readonly toolbox?: string
  readonly secret?: readonly string[]
}

/** @throws USAGE. */
export function runWishes(flags: RunFlags, env: NodeJS.ProcessEnv): RunWishes {
  const { executor, toolbox, secret = [] } = flags
  return {
    executor: executor === undefined ? undefined : parseExecutorName(executor),
    toolbox: toolbox === undefined ? undefined : formatReference(parseReference(toolbox)),
    secrets: parseSecrets(secret, env),
  }
}

/** As docker has it: `id=NAME,src=FILE`, `id=NAME,env=VARIABLE`, or `id=NAME` for the variable or else the file of that name. */
export function parseSecrets(values: readonly string[], env: NodeJS.ProcessEnv): Secrets {
  return new Map(values.map(value => parseSecret(value, env)))
}

const aliases: Readonly<Record<string, string>> = { source: 'src' }

function parseSecret(value: string, env: NodeJS.ProcessEnv): readonly [id: string, source: SecretSource] {
  const options = new Map(
    value.split(',').map(field => {
      const [name = '', ...rest] = field.split('=')
      return [aliases[name] ?? name, rest.join('=')] as const
    }),
  )
  const wrong = [...options.keys()].find(name => !['id', 'src', 'env', 'type'].includes(name))
  const id = options.get('id') ?? ''
  if (wrong !== undefined || id === '') {
    const why = wrong === undefined ? 'it has no id' : `it knows no "${wrong}"`
    throw new CloudimgError('USAGE', `reading --secret "${redacted(value)}": ${why}`, {
      hint: 'write --secret id=NAME,src=FILE or --secret id=NAME,env=VARIABLE',
    })
  }
  const [path, type] = [options.get('src'), options.get('type')]
  const variable = options.get('env') ?? (type === 'env' ? (path ?? id) : undefined)
  if (variable !== undefined) return [id, { from: 'environment', name: variable }]
  if (path === undefined && type !== 'file' && env[id] !== undefined) return [id, { from: 'environment', name: id }]
  return [id, { from: 'file', path: resolve(path ?? id) }]
}

// Somebody may have written the secret itself.
function redacted(value: string): string {
  return value.replace(/=([^,]*)/g, '=…')
}
