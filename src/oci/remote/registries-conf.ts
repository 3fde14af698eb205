import { homedir } from 'node:os'
import { join } from 'node:path'
import { MiB } from '../../core/bytes.ts'
import type { Context } from '../../core/context.ts'
import { compareBytes, readdirIfPresent, readFileIfPresent } from '../../io/files.ts'
import type { Mirror, RegistryRule } from './registry-rules.ts'

type Environment = Readonly<Record<string, string | undefined>>

/**
 * What podman, buildah and skopeo are told about registries (containers-registries.conf(5), version 2): the first of
 * `$CONTAINERS_REGISTRIES_CONF`, `~/.config/containers/registries.conf` and `/etc/containers/registries.conf` that is
 * there, and what lies in `registries.conf.d` beside them. A file that cannot be read is told and left out.
 */
export async function readRegistriesConf(env: Environment, ctx: Context): Promise<readonly RegistryRule[]> {
  const named = env.CONTAINERS_REGISTRIES_CONF ?? ''
  const own = join(env.XDG_CONFIG_HOME || join(env.HOME || homedir(), '.config'), 'containers')
  const bases = [own, '/etc/containers']
  const mains = named === '' ? bases.map(base => join(base, 'registries.conf')) : [named]
  const rules: RegistryRule[] = []
  for (const base of bases) {
    const folder = join(base, 'registries.conf.d')
    const names = (await readdirIfPresent(folder)).filter(name => name.endsWith('.conf')).sort(compareBytes)
    for (const name of names.reverse()) rules.push(...((await readRules(join(folder, name), ctx)) ?? []))
  }
  for (const path of mains) {
    const found = await readRules(path, ctx)
    if (found !== undefined) return [...rules, ...found]
  }
  return rules
}

async function readRules(path: string, ctx: Context): Promise<readonly RegistryRule[] | undefined> {
  try {
    const text = await readFileIfPresent(path, MiB)
    return text === undefined ? undefined : parseRegistriesConf(text.toString('utf8'))
  } catch (error) {
    ctx.events({
      kind: 'warning',
      code: 'registries-conf',
      message: `reading "${path}": ${error instanceof Error ? error.message : String(error)}; it is left out`,
    })
    return undefined
  }
}

interface Table {
  readonly values: Map<string, string | boolean>
  readonly mirrors: Map<string, string | boolean>[]
}

/**
 * The part of TOML that these files are made of: `[[registry]]` and `[[registry.mirror]]` with strings and booleans. All
 * else (short names, search lists, version 1) is for other programs and is passed over. @throws Error naming the line.
 */
export function parseRegistriesConf(text: string): readonly RegistryRule[] {
  const tables: Table[] = []
  let current: Map<string, string | boolean> | undefined
  for (const [index, line] of text.split('\n').entries()) {
    const header = /^\s*\[{1,2}\s*([^\]]*?)\s*\]{1,2}\s*(?:#.*)?$/.exec(line)
    if (header !== null) {
      const last = tables.at(-1)
      current = undefined
      if (header[1] === 'registry') {
        current = new Map()
        tables.push({ values: current, mirrors: [] })
      } else if (header[1] === 'registry.mirror' && last !== undefined) {
        current = new Map()
        last.mirrors.push(current)
      }
      continue
    }
    if (current === undefined || /^\s*(?:#.*)?$/.test(line)) continue
    const pair = /^\s*["']?([\w-]+)["']?\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|(true|false))\s*(?:#.*)?$/.exec(line)
    if (pair === null) throw new Error(`line ${index + 1} is not understood: "${line.trim()}"`)
    const [, key = '', quoted, literal, flag] = pair
    current.set(key, flag === undefined ? (literal ?? quoted?.replace(/\\(.)/g, '$1') ?? '') : flag === 'true')
  }
  return tables.flatMap(toRule)
}

function toRule({ values, mirrors }: Table): readonly RegistryRule[] {
  const location = values.get('location')
  const prefix = values.get('prefix') ?? location
  if (typeof prefix !== 'string' || prefix === '') return []
  return [
    {
      prefix,
      ...(typeof location === 'string' && location !== '' && location !== prefix ? { location } : {}),
      insecure: values.get('insecure') === true,
      blocked: values.get('blocked') === true,
      mirrors: mirrors.flatMap(mirror => toMirror(mirror, values.get('mirror-by-digest-only') === true)),
    },
  ]
}

function toMirror(values: ReadonlyMap<string, string | boolean>, digestOnly: boolean): readonly Mirror[] {
  const location = values.get('location')
  if (typeof location !== 'string' || location === '') return []
  const from = values.get('pull-from-mirror')
  const only = digestOnly || from === 'digest-only' ? 'digest' : from === 'tag-only' ? 'tag' : undefined
  return [{ location, insecure: values.get('insecure') === true, ...(only === undefined ? {} : { only }) }]
}
