import { formatBytes } from '../../core/bytes.ts'
import { planRecover, recoverCluster, type RecoverOptions, undoRecover } from '../../deploy/actions/recover.ts'
import { planRestore, type RestoreOptions, restoreSnapshot, undoRestore } from '../../deploy/actions/restore.ts'
import {
  listSnapshots,
  planSnapshot,
  saveSnapshot,
  type SnapshotList,
  type SnapshotOptions,
  undoSnapshot,
} from '../../deploy/actions/snapshot.ts'
import { carryOutAction } from '../carry-out-action.ts'
import { confirmedBy } from '../consent.ts'
import { type ActionFlags, type ChoiceFlags, choiceOf, listOf, type ReachFlags, reachOf } from '../reach-options.ts'
import type { Session } from '../session.ts'
import { formatTable } from '../table.ts'

export type SaveFlags = ReachFlags & ActionFlags & ChoiceFlags

/** `cloudimg snapshot save`: the state of the cluster comes here. */
export async function save(session: Session, flags: SaveFlags): Promise<number> {
  const options: SnapshotOptions = { choice: choiceOf(flags), ...(await reachOf(session, flags)) }
  return await carryOutAction(session, flags, {
    plan: () => planSnapshot(options, session.ctx),
    perform: () => saveSnapshot(options, session.ctx),
    undo: () => undoSnapshot(options, session.ctx),
    describe: ({ snapshot: { id, directory, datastore, version, size } }) =>
      [
        `snapshot ${id}: ${datastore}, ${version}, ${formatBytes(size)}`,
        `  ${directory}, with the token that opens it`,
        '',
        `to go back to it: cloudimg snapshot restore ${id}`,
      ].join('\n'),
  })
}

export type ListFlags = ReachFlags & ChoiceFlags & { readonly onServers?: boolean }

/** `cloudimg snapshot list`. */
export async function list(session: Session, flags: ListFlags): Promise<void> {
  const onServers = flags.onServers === true
  const options = { choice: choiceOf(flags), onServers, ...(await reachOf(session, flags)) }
  const found = await listSnapshots(options, session.ctx)
  session.answer({ ...found }, () => describe(found))
}

function describe({ cluster, kept, onServers }: SnapshotList): string {
  const own =
    kept.length === 0
      ? 'no snapshot is kept here; take one: cloudimg snapshot save'
      : formatTable(
          ['SNAPSHOT', 'WHY', 'TAKEN', 'NODE', 'DATASTORE', 'VERSION', 'SIZE'],
          kept.map(({ id, reason, takenAt, node, datastore, version, size }) => [
            id,
            reason,
            timeText(takenAt * 1000),
            node,
            datastore,
            version,
            formatBytes(size),
          ]),
        )
  const theirs =
    onServers === undefined
      ? []
      : [
          '',
          'on servers, where deleting the node deletes them too:',
          formatTable(
            ['NODE', 'FILE', 'TAKEN', 'SIZE'],
            onServers.map(({ node, name, takenAt, size }) => [node, name, timeText(takenAt), formatBytes(size)]),
          ),
        ]
  return [`cluster ${cluster}`, '', own, ...theirs].join('\n')
}

function timeText(milliseconds: number): string {
  return new Date(milliseconds).toISOString().slice(0, 16).replace('T', ' ')
}

export interface RestoreFlags extends ReachFlags, ActionFlags, ChoiceFlags {
  readonly confirm?: string
  readonly forceUnreachable?: readonly string[]
}

/** `cloudimg snapshot restore SNAPSHOT`: the cluster goes back to it. */
export async function restore(session: Session, snapshot: string, flags: RestoreFlags): Promise<number> {
  const options: RestoreOptions = {
    choice: choiceOf(flags),
    snapshot,
    forceUnreachable: listOf(flags.forceUnreachable),
    approve: confirmedBy(session, flags.confirm),
    ...(await reachOf(session, flags)),
  }
  return await carryOutAction(session, flags, {
    plan: () => planRestore(options, session.ctx),
    perform: () => restoreSnapshot(options, session.ctx),
    undo: () => undoRestore(options, session.ctx),
  })
}

export interface RecoverFlags extends ReachFlags, ActionFlags {
  readonly server: string
  readonly confirm?: string
  readonly force?: boolean
  readonly forceUnreachable?: readonly string[]
}

/** `cloudimg recover --server HOST`: one server's data become the cluster's, where the majority is lost. */
export async function recover(session: Session, flags: RecoverFlags): Promise<number> {
  const options: RecoverOptions = {
    server: flags.server,
    force: flags.force === true,
    forceUnreachable: listOf(flags.forceUnreachable),
    approve: confirmedBy(session, flags.confirm),
    ...(await reachOf(session, flags)),
  }
  return await carryOutAction(session, flags, {
    plan: () => planRecover(options, session.ctx),
    perform: () => recoverCluster(options, session.ctx),
    undo: () => undoRecover(options, session.ctx),
  })
}
