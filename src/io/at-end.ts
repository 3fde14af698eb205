const closers = new Set<() => Promise<void>>()

/** Has `close` called when the program's work is done: for what would keep the process alive. */
export function atEnd(close: () => Promise<void>): void {
  closers.add(close)
}

export async function closeAll(): Promise<void> {
  const pending = [...closers]
  closers.clear()
  await Promise.all(pending.map(close => close()))
}
