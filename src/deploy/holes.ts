import type { Context } from '../core/context.ts'
import { CloudimgError } from '../core/error.ts'
import type { ReadonlyHost } from '../host/host.ts'
import type { HoleSource } from '../runtime/runtime.ts'
import type { Content } from '../runtime/step.ts'

/**
 * The values of holes, in memory only and for one run only. A value that a host has always wins over a new one:
 * whatever was written there before a crash is what the cluster was made with.
 */
export class Holes {
  readonly #sources: readonly HoleSource[]
  readonly #hosts: ReadonlyMap<string, ReadonlyHost>
  readonly #values = new Map<string, string>()

  constructor(sources: readonly HoleSource[], hosts: ReadonlyMap<string, ReadonlyHost>) {
    this.#sources = sources
    this.#hosts = hosts
  }

  /** For redacting. */
  secrets(): readonly string[] {
    return [...this.#values.values()]
  }

  /** Values of the content's holes, as far as there are any yet. */
  async known(content: Content, ctx: Context): Promise<ReadonlyMap<string, string>> {
    const known = new Map<string, string>()
    for (const name of holesOf(content)) {
      const value = await this.#known(name, ctx)
      if (value !== undefined) known.set(name, value)
    }
    return known
  }

  /** The content with every hole filled; what nobody has yet is made up now, once. */
  async fill(content: Content, ctx: Context): Promise<string> {
    const parts: string[] = []
    for (const part of content) parts.push(typeof part === 'string' ? part : await this.value(part.hole, ctx))
    return parts.join('')
  }

  async #known(name: string, ctx: Context): Promise<string | undefined> {
    const value = this.#values.get(name)
    if (value !== undefined) return value
    const source = this.#source(name)
    if ('derive' in source) {
      const base = await this.#known(source.from, ctx)
      return base === undefined ? undefined : this.#keep(name, source.derive(base))
    }
    const text = await this.#hosts.get(source.host)?.read(source.path, ctx)
    const found = text === undefined ? undefined : source.find(text)
    return found === undefined ? undefined : this.#keep(name, found)
  }

  /** As `fill`, of a single hole. */
  async value(name: string, ctx: Context): Promise<string> {
    const known = await this.#known(name, ctx)
    if (known !== undefined) return known
    const source = this.#source(name)
    return this.#keep(name, 'derive' in source ? source.derive(await this.value(source.from, ctx)) : source.make())
  }

  #keep(name: string, value: string): string {
    this.#values.set(name, value)
    return value
  }

  #source(name: string): HoleSource {
    const source = this.#sources.find(entry => entry.hole === name)
    if (source === undefined) throw new CloudimgError('BUG', `filling "<${name}>": the runtime names no source of it`)
    return source
  }
}

function holesOf(content: Content): readonly string[] {
  return content.flatMap(part => (typeof part === 'string' ? [] : [part.hole]))
}
