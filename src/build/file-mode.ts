/** One clause of a symbolic mode: `u=rwX`, `go-w`, `+x`. */
interface ModeClause {
  /** Of `u`, `g` and `o`; `a` and none at all are all three. */
  readonly who: string
  readonly operations: readonly { readonly operator: '+' | '-' | '='; readonly permissions: string }[]
}

/** What `--chmod` asks for. Symbols change the mode that is there; digits replace it. */
export type FileMode =
  | { readonly kind: 'octal'; readonly bits: number }
  | { readonly kind: 'symbolic'; readonly text: string; readonly clauses: readonly ModeClause[] }

const clausePattern = /^([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)$/

/** Undefined for what is no mode. POSIX chmod's grammar; without who it is everybody, whatever the umask. */
export function parseFileMode(text: string): FileMode | undefined {
  if (/^[0-7]{1,5}$/.test(text)) {
    const bits = Number.parseInt(text, 8)
    return bits > 0o7777 ? undefined : { kind: 'octal', bits }
  }
  const clauses = text.split(',').map(parseClause)
  return clauses.every(clause => clause !== undefined) ? { kind: 'symbolic', text, clauses } : undefined
}

function parseClause(text: string): ModeClause | undefined {
  const [, who = '', rest = ''] = clausePattern.exec(text) ?? []
  if (rest === '') return undefined
  const operations = Array.from(rest.matchAll(/([-+=])([rwxXstugo]*)/g), ([, operator, permissions = '']) => ({
    operator: operator as '+' | '-' | '=',
    permissions,
  }))
  return { who: who === '' || who.includes('a') ? 'ugo' : who, operations }
}

export function formatFileMode(mode: FileMode): string {
  return mode.kind === 'octal' ? mode.bits.toString(8).padStart(4, '0') : mode.text
}

/** The mode of a file or directory that had `current`. */
export function applyFileMode(mode: FileMode, current: number, isDirectory: boolean): number {
  if (mode.kind === 'octal') return mode.bits
  let bits = current
  for (const { who, operations } of mode.clauses) {
    for (const { operator, permissions } of operations) bits = operate(bits, who, operator, permissions, isDirectory)
  }
  return bits
}

const shifts: Readonly<Record<string, number>> = { u: 6, g: 3, o: 0 }
/** Set-user-id, set-group-id, sticky: each belongs to one class. */
const specialBits: Readonly<Record<string, number>> = { u: 0o4000, g: 0o2000, o: 0o1000 }

function operate(
  bits: number,
  who: string,
  operator: '+' | '-' | '=',
  permissions: string,
  isDirectory: boolean,
): number {
  let named = 0
  let all = 0
  for (const class_ of who) {
    const shift = shifts[class_]!
    named |= permissionBits(bits, permissions, isDirectory) << shift
    if (permissions.includes(class_ === 'o' ? 't' : 's')) named |= specialBits[class_]!
    all |= (0o7 << shift) | specialBits[class_]!
  }
  if (operator === '+') return bits | named
  if (operator === '-') return bits & ~named
  // As GNU chmod does: `=` leaves the set-id bits of a directory alone unless it names them.
  const kept = isDirectory ? bits & 0o6000 & all : 0
  return (bits & ~all) | kept | named
}

function permissionBits(bits: number, permissions: string, isDirectory: boolean): number {
  let found = 0
  if (permissions.includes('r')) found |= 4
  if (permissions.includes('w')) found |= 2
  if (permissions.includes('x') || (permissions.includes('X') && (isDirectory || (bits & 0o111) !== 0))) found |= 1
  for (const class_ of permissions) {
    const shift = shifts[class_]
    if (shift !== undefined) found |= (bits >> shift) & 0o7
  }
  return found
}
