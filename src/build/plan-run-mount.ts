import { posix } from 'node:path'
import { parseSize } from '../core/bytes.ts'
import { suggest } from '../core/suggest.ts'
import type { Flag } from '../kubefile/ast.ts'
import { copyOrigin } from './plan-copy.ts'
import type { RunMount } from './plan.ts'
import type { RunPlace } from './plan-run.ts'

const types = ['bind', 'cache', 'tmpfs', 'secret'] as const
type MountType = (typeof types)[number]

const aliases: Readonly<Record<string, string>> = {
  dst: 'target',
  destination: 'target',
  src: 'source',
  rw: 'readwrite',
  ro: 'readonly',
}

const optionsOf: Readonly<Record<MountType, readonly string[]>> = {
  bind: ['target', 'source', 'from', 'readwrite', 'readonly'],
  cache: ['target', 'id', 'sharing', 'from', 'source', 'mode', 'uid', 'gid', 'readwrite', 'readonly'],
  tmpfs: ['target', 'size'],
  secret: ['target', 'id', 'required', 'mode', 'uid', 'gid', 'env'],
}

/** `--mount=type=…`: docker's options and defaults. Undefined where something is wrong, which is reported. */
export function planMount(flag: Flag, place: RunPlace): RunMount | undefined {
  return new MountPlanner(flag, place).plan()
}

class MountPlanner {
  readonly #flag: Flag
  readonly #place: RunPlace
  readonly #options = new Map<string, string>()
  #failed = false

  constructor(flag: Flag, place: RunPlace) {
    this.#flag = flag
    this.#place = place
  }

  plan(): RunMount | undefined {
    const text = this.#flag.value === undefined ? '' : (this.#place.expander.word(this.#flag.value) ?? this.#fail(''))
    if (this.#failed) return undefined
    for (const [name, value] of splitFields(text).map(splitOption)) this.#options.set(aliases[name] ?? name, value)
    const type = this.#type()
    if (type === undefined || !this.#knowsOptions(type)) return undefined
    const mount = this.#mount(type)
    return this.#failed ? undefined : mount
  }

  #type(): MountType | undefined {
    const text = this.#options.get('type') ?? 'bind'
    this.#options.delete('type')
    const type = types.find(known => known === text)
    if (type !== undefined) return type
    const near = suggest(text, types)
    const known = `write type=${types.join(', type=')}`
    return this.#report(`"${text}" is no type of mount`, near === undefined ? known : `did you mean type=${near}?`)
  }

  #knowsOptions(type: MountType): boolean {
    for (const name of this.#options.keys()) {
      if (optionsOf[type].includes(name)) continue
      const near = suggest(name, [...optionsOf[type], ...Object.keys(aliases)])
      const known = `it takes ${optionsOf[type].join(', ')}`
      this.#report(`a ${type} mount has no option "${name}"`, near === undefined ? known : `did you mean ${near}?`)
    }
    return !this.#failed
  }

  #mount(type: MountType): RunMount | undefined {
    switch (type) {
      case 'bind':
        return {
          type,
          target: this.#target(),
          origin: this.#origin() ?? { from: 'context' },
          source: this.#options.get('source') ?? '/',
          writable: !this.#isOn('readonly') && this.#isOn('readwrite'),
        }
      case 'cache': {
        const target = this.#target()
        return {
          type,
          target,
          id: this.#options.get('id') ?? target,
          sharing: this.#choice('sharing', ['shared', 'private', 'locked']),
          origin: this.#origin(),
          source: this.#options.get('source') ?? '/',
          writable: !this.#isOn('readonly'),
          ...this.#owner(0o755),
        }
      }
      case 'tmpfs':
        return { type, target: this.#target(), size: this.#size() }
      case 'secret':
        return this.#secret()
    }
  }

  #secret(): RunMount | undefined {
    const [env, target] = [this.#options.get('env'), this.#options.get('target')]
    const id = this.#options.get('id') ?? (target === undefined ? env : posix.basename(target))
    if (id === undefined || id === '') return this.#report('a secret mount needs an id', 'write id=NAME')
    const path = target ?? (env === undefined ? `/run/secrets/${id}` : undefined)
    return {
      type: 'secret',
      id,
      target: path === undefined ? undefined : this.#absolute(path),
      env,
      required: this.#isOn('required'),
      ...this.#owner(0o400),
    }
  }

  #target(): string {
    const target = this.#options.get('target') ?? ''
    if (target !== '') return this.#absolute(target)
    return this.#report('the mount has no target', 'write target=/PATH') ?? ''
  }

  #absolute(path: string): string {
    const target = posix.resolve(this.#place.workdir, path)
    if (target !== '/') return target
    return this.#report('a mount cannot be laid over "/"', 'choose a directory below it') ?? ''
  }

  #origin() {
    const { value } = this.#flag
    const from = this.#options.get('from')
    return from === undefined || value === undefined ? undefined : copyOrigin(from, value, this.#place)
  }

  #owner(mode: number): { readonly mode: number; readonly uid: number; readonly gid: number } {
    return { mode: this.#number('mode', 8) ?? mode, uid: this.#number('uid') ?? 0, gid: this.#number('gid') ?? 0 }
  }

  #number(name: string, base: 8 | 10 = 10): number | undefined {
    const text = this.#options.get(name)
    if (text === undefined) return undefined
    const pattern = base === 8 ? /^[0-7]{1,5}$/ : /^\d{1,9}$/
    if (pattern.test(text)) return Number.parseInt(text, base)
    return this.#report(`"${text}" is no ${name}`, base === 8 ? 'write octal digits: mode=0644' : `write ${name}=1000`)
  }

  #size(): number | undefined {
    const text = this.#options.get('size')
    if (text === undefined) return undefined
    return parseSize(text) ?? this.#report(`"${text}" is no size`, 'write a number of bytes, or one with k, m or g')
  }

  #choice<T extends string>(name: string, choices: readonly [T, ...T[]]): T {
    const text = this.#options.get(name) ?? choices[0]
    const found = choices.find(choice => choice === text)
    return (
      found ?? this.#report(`"${text}" is no ${name}`, `write ${name}=${choices.join(` or ${name}=`)}`) ?? choices[0]
    )
  }

  #isOn(name: string): boolean {
    const text = this.#options.get(name)
    if (text === undefined || text === 'false') return false
    if (text === '' || text === 'true') return true
    this.#report(`"${text}" is neither true nor false`, `write ${name} or ${name}=false`)
    return false
  }

  #fail<T>(value: T): T {
    this.#failed = true
    return value
  }

  #report(message: string, hint: string): undefined {
    this.#place.report({ severity: 'error', rule: 'mount', message, span: this.#flag.span, hint })
    return this.#fail(undefined)
  }
}

function splitOption(field: string): readonly [name: string, value: string] {
  const equals = field.indexOf('=')
  const name = (equals < 0 ? field : field.slice(0, equals)).toLowerCase()
  return [name, equals < 0 ? '' : field.slice(equals + 1)]
}

/** Fields between commas; one in double quotes may have commas of its own, as in CSV. */
function splitFields(text: string): readonly string[] {
  const fields = text.match(/(?:"(?:[^"]|"")*"|[^,"]+)+/g) ?? []
  return fields.map(field => field.replaceAll(/"((?:[^"]|"")*)"/g, (_, inner: string) => inner.replaceAll('""', '"')))
}
