import { type ExecutorReport, probeExecutors } from '../../build/executor/choose-executor.ts'
import { clearAbandonedRuns } from '../../build/executor/workspace.ts'
import type { Session } from '../session.ts'
import { formatTable } from '../table.ts'

/** `cloudimg doctor`: which executors of RUN work here, and why the others do not. */
export async function doctor(session: Session): Promise<void> {
  const { home } = (await session.store()).layout
  await clearAbandonedRuns(home)
  const reports = await probeExecutors(home, session.ctx)
  const first = reports.find(({ name, availability }) => availability.ok && name !== 'chroot')?.name
  session.answer({ executors: reports.map(report => describe(report, first)) }, () => table(reports, first))
}

function describe({ name, availability }: ExecutorReport, first: string | undefined): object {
  const { ok, ...more } = availability
  return { name, works: ok, default: name === first, ...more }
}

function table(reports: readonly ExecutorReport[], first: string | undefined): string {
  const rows = reports.map(({ name, availability }) => [
    name,
    availability.ok ? 'yes' : 'no',
    availability.ok ? owners[availability.owners] : '-',
    availability.ok ? availability.how : availability.reason,
  ])
  const hints = reports.flatMap(({ name, availability }) =>
    availability.ok || availability.hint === undefined ? [] : [`  ${name}: ${availability.hint}`],
  )
  const last =
    first === undefined
      ? 'RUN cannot be built here; everything else can.'
      : `RUN uses ${first} unless --executor names another; chroot is only used when it is named.`
  return [formatTable(['EXECUTOR', 'WORKS', 'OWNERS', 'HOW, OR WHY NOT'], rows), ...hints, last].join('\n')
}

const owners = { all: 'all', one: 'root only' } as const
