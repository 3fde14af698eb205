import { createHmac, randomBytes } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { compare } from 'bcryptjs'
import { CloudimgError } from '../../core/error.ts'
import { withFileErrors } from '../../io/files.ts'
import { parseBasic, type Users } from './users.ts'

/** As costly as a usual entry: who asks for a user that is not there waits as long as for a wrong password. */
const nobody = '$2b$10$xfjwRzDWSh33EB7P4nFjaOAH5XCgeVO2pavZXPYjzx/6rabxCvEuS'
const bcryptHash = /^\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}$/

/**
 * The users of an htpasswd file with bcrypt hashes (`htpasswd -B`), as the registries of others take it. A changed file counts
 * from the next request on. @throws FILE_ERROR; USAGE for an entry that is not bcrypt, or a file without any.
 */
export async function readHtpasswd(path: string): Promise<Users> {
  const file = new HtpasswdFile(path)
  await file.entries()
  return { accept: async authorization => await file.accept(authorization) }
}

class HtpasswdFile {
  readonly #path: string
  readonly #key = randomBytes(32)
  #entries: ReadonlyMap<string, string> = new Map()
  #version = ''
  /** bcrypt is slow by design and a push makes hundreds of requests: what was right once is known again, by a keyed hash. */
  readonly #accepted = new Set<string>()
  #comparing: Promise<unknown> = Promise.resolve()

  constructor(path: string) {
    this.#path = path
  }

  async entries(): Promise<ReadonlyMap<string, string>> {
    return await withFileErrors('reading', this.#path, async () => {
      const { mtimeMs, size, ino } = await stat(this.#path)
      const version = `${mtimeMs} ${size} ${ino}`
      if (version !== this.#version) {
        this.#entries = parseHtpasswd(await readFile(this.#path, 'utf8'), this.#path)
        this.#version = version
        this.#accepted.clear()
      }
      return this.#entries
    })
  }

  async accept(authorization: string): Promise<boolean> {
    const shown = parseBasic(authorization)
    if (shown === undefined) return false
    const entries = await this.entries()
    const known = createHmac('sha256', this.#key).update(JSON.stringify(shown)).digest('base64')
    if (this.#accepted.has(known)) return true
    const right = await this.#compare(shown.password, entries.get(shown.username) ?? nobody)
    if (right && entries.has(shown.username)) this.#accepted.add(known)
    return right && entries.has(shown.username)
  }

  // One at a time: guesses must not take the processor from those who are let in.
  async #compare(password: string, hash: string): Promise<boolean> {
    const work = this.#comparing.then(() => compare(password, hash))
    this.#comparing = work.catch(() => undefined)
    return await work
  }
}

export function parseHtpasswd(text: string, path: string): ReadonlyMap<string, string> {
  const entries = new Map<string, string>()
  for (const [i, line] of text.split('\n').entries()) {
    const entry = line.trim()
    if (entry === '' || entry.startsWith('#')) continue
    const colon = entry.indexOf(':')
    const hash = entry.slice(colon + 1)
    if (colon < 1 || !bcryptHash.test(hash))
      throw new CloudimgError('USAGE', `reading "${path}": line ${i + 1} is no user with a bcrypt hash`, {
        hint: 'make it with: htpasswd -B -c FILE USER',
      })
    entries.set(entry.slice(0, colon), hash)
  }
  if (entries.size === 0)
    throw new CloudimgError('USAGE', `reading "${path}": there is no user in it`, {
      hint: 'make it with: htpasswd -B -c FILE USER',
    })
  return entries
}
