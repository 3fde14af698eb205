import { access, constants } from 'node:fs/promises'
import { join } from 'node:path'

const systemDirectories = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']

/** A program's path, system directories included whatever PATH says; a path is taken as it is. Undefined where it is missing. */
export async function findProgram(name: string): Promise<string | undefined> {
  const directories = (process.env.PATH ?? '').split(':').filter(directory => directory.startsWith('/'))
  const places = [...directories, ...systemDirectories].map(directory => join(directory, name))
  for (const path of name.startsWith('/') ? [name] : places) {
    try {
      await access(path, constants.X_OK)
      return path
    } catch {
      continue
    }
  }
  return undefined
}
