import { CloudimgError } from '../core/error.ts'
import type { OwnerWish } from './plan.ts'

export interface Owner {
  readonly uid: number
  readonly gid: number
}

export const rootOwner: Owner = { uid: 0, gid: 0 }

/** The text of a file of the tree, for names; undefined where it is not there. */
export type ReadTreeFile = (path: string) => Promise<string | undefined>

/**
 * `1000`, `1000:50`, `app:app`: numbers as they are, names from the tree's own /etc/passwd and /etc/group. A number
 * alone is the group too; a name alone brings its passwd group. @throws CONTEXT_INVALID for an unknown name.
 */
export async function resolveOwner(wish: OwnerWish | undefined, read: ReadTreeFile): Promise<Owner> {
  if (wish === undefined) return rootOwner
  const user = await findUser(wish.user, read)
  const gid = wish.group === undefined ? user.gid : await findGroup(wish.group, read)
  return { uid: user.uid, gid }
}

const largestId = 2 ** 32 - 2

function numericId(text: string): number | undefined {
  if (!/^\d+$/.test(text)) return undefined
  const id = Number(text)
  if (id > largestId) throw new CloudimgError('CONTEXT_INVALID', `reading owner "${text}": ids end at ${largestId}`)
  return id
}

async function findUser(name: string, read: ReadTreeFile): Promise<Owner> {
  const id = numericId(name)
  if (id !== undefined) return { uid: id, gid: id }
  const fields = findLine(await read('etc/passwd'), name)
  if (fields === undefined) throw unknown('user', name, '/etc/passwd')
  return { uid: Number(fields[2]), gid: Number(fields[3]) }
}

async function findGroup(name: string, read: ReadTreeFile): Promise<number> {
  const id = numericId(name)
  if (id !== undefined) return id
  const fields = findLine(await read('etc/group'), name)
  if (fields === undefined) throw unknown('group', name, '/etc/group')
  return Number(fields[2])
}

function findLine(text: string | undefined, name: string): readonly string[] | undefined {
  return text
    ?.split('\n')
    .map(line => line.split(':'))
    .find(fields => fields[0] === name && /^\d+$/.test(fields[2] ?? ''))
}

function unknown(kind: string, name: string, file: string): CloudimgError {
  return new CloudimgError('CONTEXT_INVALID', `looking up ${kind} "${name}": not in the tree's ${file}`, {
    hint: `use a number, or copy a ${file} into the tree first`,
  })
}
