import { homedir } from 'node:os'
import { join } from 'node:path'
import { parse } from 'yaml'
import { z } from 'zod'
import { CloudimgError, reasonOf } from '../core/error.ts'
import { readFileIfPresent } from '../io/files.ts'

const schema = z.strictObject({
  /** `FROM=TO`, as `--mirror` takes them; those of the command line come first. */
  mirrors: z.array(z.string()).default([]),
})

export type ConfigFile = z.infer<typeof schema>

/** `$XDG_CONFIG_HOME/cloudimg/config.yaml`; all defaults where there is none. @throws USAGE for a mistake in it. */
export async function readConfigFile(env: NodeJS.ProcessEnv): Promise<ConfigFile> {
  const path = join(env.XDG_CONFIG_HOME ?? join(homedir(), '.config'), 'cloudimg/config.yaml')
  const text = await readFileIfPresent(path)
  if (text === undefined) return { mirrors: [] }
  try {
    return schema.parse(parse(text.toString('utf8')) ?? {})
  } catch (error) {
    throw new CloudimgError('USAGE', `reading "${path}": ${reasonOf(error)}`, { cause: error })
  }
}
