import { homedir } from 'node:os'
import { join } from 'node:path'
import { parse } from 'yaml'
import * as z from 'zod'
import { CloudimgError, reasonOf } from '../core/error.ts'
import { readFileIfPresent } from '../io/files.ts'
import type { Mirror, RegistryRule } from '../oci/remote/registry-rules.ts'

/** `host[:port][/path]`; `http://` before it says that plain http is taken. */
const location = z.string().regex(/^(?:https?:\/\/)?[\w.[\]:-]+(?:\/[\w./-]*)?$/, 'not HOST[:PORT][/PATH]')

const schema = z.strictObject({
  /** `FROM=TO`, as `--mirror` takes them; those of the command line come first. */
  mirrors: z.array(z.string()).default([]),
  /** By `host[/path]`, as references begin. */
  registries: z
    .record(
      z.string(),
      z.strictObject({
        mirrors: z.array(location).default([]),
        insecure: z.boolean().default(false),
      }),
    )
    .default({}),
})

export interface ConfigFile {
  readonly mirrors: readonly string[]
  readonly registries: readonly RegistryRule[]
}

/** `$XDG_CONFIG_HOME/cloudimg/config.yaml`; all defaults where there is none. @throws USAGE for a mistake in it. */
export async function readConfigFile(env: NodeJS.ProcessEnv): Promise<ConfigFile> {
  const path = join(env.XDG_CONFIG_HOME ?? join(homedir(), '.config'), 'cloudimg/config.yaml')
  const text = await readFileIfPresent(path)
  if (text === undefined) return { mirrors: [], registries: [] }
  try {
    const { mirrors, registries } = schema.parse(parse(text.toString('utf8')) ?? {})
    return {
      mirrors,
      registries: Object.entries(registries).map(([prefix, rule]) => ({
        prefix,
        insecure: rule.insecure,
        mirrors: rule.mirrors.map(toMirror),
      })),
    }
  } catch (error) {
    throw new CloudimgError('USAGE', `reading "${path}": ${explain(error)}`, { cause: error })
  }
}

function toMirror(text: string): Mirror {
  return { location: text.replace(/^https?:\/\//, '').replace(/\/+$/, ''), insecure: text.startsWith('http://') }
}

function explain(error: unknown): string {
  const issue = error instanceof z.ZodError ? error.issues[0] : undefined
  return issue === undefined ? reasonOf(error) : `${issue.path.join('.')}: ${issue.message}`.replace(/^: /, '')
}
