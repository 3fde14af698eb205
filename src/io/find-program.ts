import { access, constants } from 'node:fs/promises'
import { join } from 'node:path'

const systemDirectories = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']

/** A program's path, system directories included whatever PATH says; undefined where it is missing. */
export async function findProgram(name: string): Promise<string | undefined> {
  const directories = (process.env.PATH ?? '').split(':').filter(directory => directory.startsWith('/'))
  for (const directory of [...directories, ...systemDirectories]) {
    const path = join(directory, name)
    try {
      await access(path, constants.X_OK)
      return path
    } catch {
      continue
    }
  }
  return undefined
}
