import { CloudimgError } from '../../core/error.ts'
import type { JobUser } from './executor.ts'

export interface RunUser extends JobUser {
  readonly home: string
}

/**
 * USER's value as runc reads it: names and numbers are looked up in the tree's passwd and group; a number that is not
 * there stands alone, with group 0. @throws CONTEXT_INVALID for an unknown name.
 */
export async function resolveUser(
  user: string | undefined,
  read: (path: string) => Promise<string | undefined>,
): Promise<RunUser> {
  const [name = '0', group] = (user ?? '0').split(':')
  const passwd = fieldsOf(await read('etc/passwd'))
  const found = passwd.find(fields => fields[0] === name) ?? passwd.find(fields => fields[2] === name)
  if (found === undefined && !isNumber(name)) throw unknown('user', name, '/etc/passwd')
  const uid = Number(found?.[2] ?? name)
  const home = found?.[5] || (uid === 0 ? '/root' : '/')
  const groups = fieldsOf(await read('etc/group'))
  if (group !== undefined) {
    const gid = groupId(group, groups)
    return { uid, gid, groups: [gid], home }
  }
  const member = found?.[0]
  const others = groups.filter(fields => member !== undefined && (fields[3] ?? '').split(',').includes(member))
  const gid = Number(found?.[3] ?? 0)
  return { uid, gid, groups: [gid, ...others.map(fields => Number(fields[2]))], home }
}

function groupId(group: string, groups: readonly (readonly string[])[]): number {
  const found = groups.find(fields => fields[0] === group)?.[2]
  if (found === undefined && !isNumber(group)) throw unknown('group', group, '/etc/group')
  return Number(found ?? group)
}

function fieldsOf(text: string | undefined): readonly (readonly string[])[] {
  const lines = (text ?? '').split('\n').map(line => line.split(':'))
  return lines.filter(fields => isNumber(fields[2] ?? ''))
}

function isNumber(text: string): boolean {
  return /^\d{1,9}$/.test(text)
}

function unknown(kind: string, name: string, file: string): CloudimgError {
  return new CloudimgError('CONTEXT_INVALID', `looking up ${kind} "${name}": not in the tree's ${file}`, {
    hint: `use a number, or copy a ${file} into the tree first`,
  })
}
