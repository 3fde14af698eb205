import { join } from 'node:path'
import type { Context } from '../core/context.ts'
import type { HostFacts } from '../host/facts.ts'
import type { Host, ReadonlyHost } from '../host/host.ts'
import { statIfPresent, writeFileAtomic } from '../io/files.ts'
import { refuseAlive } from './lock.ts'
import { type JournalLine, parseJournal } from './journal.ts'

const directory = '/var/lib/cloudimg/journal'

// $1 operation, $2 `begin` where a host is told of it for the first time. After a reset there is nothing to write to any more.
const mirrorScript = `set -e; umask 077; at=${directory}/$1.operator.jsonl
[ "$2" = begin ] || [ -e "$at" ] || exit 0
mkdir -p ${directory}; cat >> "$at"; sync "$at" 2>/dev/null || sync`

/** A host keeps its own lines of an operation, so that another operator can go on with it. */
export async function mirrorLine(host: Host, line: JournalLine, ctx: Context): Promise<void> {
  const first = line.event === 'begin' || line.event === 'resume' ? 'begin' : 'more'
  await host.exec(
    ['sh', '-c', mirrorScript, 'mirror-line', line.op, first],
    { input: `${JSON.stringify(line)}\n` },
    ctx,
  )
}

/** The operation that a host was last told of, where it has not ended. */
export function unfinishedOn(facts: HostFacts): JournalLine | undefined {
  const [begin] = parseJournal(facts.cloudimg.operation ?? '')
  return begin
}

/**
 * Takes an operation over from another operator: what its hosts tell of it becomes our journal. Nothing where we have one of that
 * name, or where nobody has begun this very command. @throws CLUSTER_LOCKED while the other one is alive.
 */
export async function adoptOperation(
  hosts: readonly { readonly host: ReadonlyHost; readonly facts: HostFacts }[],
  operator: { readonly directory: string; readonly command: string },
  ctx: Context,
): Promise<void> {
  const told = hosts.flatMap(({ host, facts }) => {
    const begin = unfinishedOn(facts)
    return begin?.command === operator.command ? [{ host, begin }] : []
  })
  const op = told
    .map(({ begin }) => begin.op)
    .sort()
    .at(-1)
  if (op === undefined) return
  const path = join(operator.directory, `${op}.jsonl`)
  if ((await statIfPresent(path)) !== undefined) return
  for (const { host, facts } of hosts) refuseAlive(host, facts, op)
  const lines = new Map<number, JournalLine>()
  for (const { host, begin } of told.filter(entry => entry.begin.op === op)) {
    const text = (await host.read(`${directory}/${op}.operator.jsonl`, ctx)) ?? ''
    for (const line of [begin, ...parseJournal(text)]) lines.set(line.seq, line)
  }
  const sorted = [...lines.values()].sort((a, b) => a.seq - b.seq)
  await writeFileAtomic(path, sorted.map(line => `${JSON.stringify(line)}\n`).join(''), 0o600)
}

const forgetScript = `rm -f ${directory}/"$1".jsonl ${directory}/"$1".operator.jsonl
rmdir ${directory} /var/lib/cloudimg/rootfs 2>/dev/null; exit 0`

/** An operation that was taken back leaves nothing behind. */
export async function forgetOperation(host: Host, op: string, ctx: Context): Promise<void> {
  await host.exec(['sh', '-c', forgetScript, 'forget-operation', op], {}, ctx)
}
