import type { Context } from '../core/context.ts'
import { CloudimgError } from '../core/error.ts'
import { decodePercent } from './mirror.ts'
import { keyOf, type Lock, type LockEntry, type LockEntryOf, type LockKind, pinOf, sameEntry, sorted } from './lock.ts'

/** The lock as one run sees it: what is pinned already, and what the run adds. */
export interface LockView {
  readonly locked: boolean
  /** The pin that a run has to obey. @throws LOCK_MISMATCH where there is none and none may be added. */
  find<K extends LockKind>(kind: K, locator: string, platform: string): LockEntryOf<K> | undefined
  /** The same without refusing, for what may be absent. Counts as use. */
  peek<K extends LockKind>(kind: K, locator: string, platform: string): LockEntryOf<K> | undefined
  /** Whether an earlier run pinned it, and this one was not told to look again. */
  wasPinned(kind: LockKind, locator: string, platform: string): boolean
  /** Pins what was found. `remark` tells people how much the pin is worth. @throws LOCK_MISMATCH where another pin stands. */
  record(entry: LockEntry, ctx: Context, remark?: string): void
  /** The lock after the run; unused entries stay unless `prune`. */
  result(options?: { readonly prune?: boolean }): Lock
}

export interface LockOptions {
  /** `--locked`: nothing may be missing, nothing is added. */
  readonly locked?: boolean
  /** `cloudimg lock --update`: these pins are looked up again instead of obeyed. */
  readonly update?: (entry: LockEntry) => boolean
}

export function openLock(before: Lock, options: LockOptions = {}): LockView {
  return new View(before, options)
}

class View implements LockView {
  readonly locked: boolean
  readonly #pins: Map<string, LockEntry>
  readonly #before: ReadonlySet<string>
  readonly #stale: ReadonlyMap<string, LockEntry>
  readonly #used = new Set<string>()

  constructor(before: Lock, options: LockOptions) {
    const update = options.update ?? (() => false)
    this.locked = options.locked ?? false
    this.#pins = new Map(before.entries.filter(entry => !update(entry)).map(entry => [keyOf(entry), entry]))
    this.#before = new Set(this.#pins.keys())
    this.#stale = new Map(before.entries.filter(update).map(entry => [keyOf(entry), entry]))
  }

  peek<K extends LockKind>(kind: K, locator: string, platform: string): LockEntryOf<K> | undefined {
    const key = keyOf({ kind, locator, platform })
    this.#used.add(key)
    return this.#pins.get(key) as LockEntryOf<K> | undefined
  }

  find<K extends LockKind>(kind: K, locator: string, platform: string): LockEntryOf<K> | undefined {
    const entry = this.peek(kind, locator, platform)
    if (entry === undefined && this.locked) {
      const where = platform === 'any' ? '' : ` for ${platform}`
      throw new CloudimgError('LOCK_MISMATCH', `reading the lock: it has no ${kind} "${locator}"${where}`, {
        hint: 'run cloudimg lock, or build once without --locked, and commit the lock',
        data: { kind, locator, platform },
      })
    }
    return entry
  }

  wasPinned(kind: LockKind, locator: string, platform: string): boolean {
    return this.#before.has(keyOf({ kind, locator, platform }))
  }

  record(entry: LockEntry, ctx: Context, remark = ''): void {
    const pinned = this.find(entry.kind, entry.locator, entry.platform)
    if (pinned !== undefined) {
      if (!sameEntry(pinned, entry)) throw lockMismatch(pinned, entry)
      return
    }
    this.#pins.set(keyOf(entry), entry)
    const place = entry.platform === 'any' ? '' : ` (${entry.platform})`
    ctx.events({ kind: 'note', message: `pinned ${entry.locator}${place} ${pinOf(entry)}${remark}` })
  }

  result(options: { readonly prune?: boolean } = {}): Lock {
    const all = new Map([...this.#stale, ...this.#pins])
    const kept = [...all.values()].filter(entry => options.prune !== true || this.#used.has(keyOf(entry)))
    return sorted(kept)
  }
}

/**
 * Whether `cloudimg lock --update NAME` means the entry: its whole locator, or the last part of it (`install.sh`, `stable`),
 * or a version in it (`v1.31.4+k3s1`).
 */
export function isNamed(entry: LockEntry, name: string): boolean {
  const parts = entry.locator.split('/').map(part => decodePercent(part) ?? part)
  return entry.locator === name || parts.slice(3).includes(name) || parts.at(-1) === name
}

/** What was found is not what the lock says; `found` is what the source has now. */
export function lockMismatch(pinned: LockEntry, found: LockEntry, place?: string): CloudimgError {
  const wanted = describePin(pinned)
  const has = describePin(found)
  const where = place === undefined || place === found.locator ? '' : ` at "${place}"`
  return new CloudimgError(
    'LOCK_MISMATCH',
    `comparing "${found.locator}" with the lock: wanted ${wanted}, found ${has}${where}`,
    {
      hint: `if the change is meant, run cloudimg lock --update ${found.locator}`,
      data: { locator: found.locator, platform: found.platform, wanted, found: has },
    },
  )
}

function describePin(entry: LockEntry): string {
  return entry.kind === 'artifact' ? `${entry.digest} (${entry.size} bytes)` : pinOf(entry)
}
