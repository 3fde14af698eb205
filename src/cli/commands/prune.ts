import { CloudimgError } from '../../core/error.ts'
import { collectGarbage } from '../../oci/store/collect-garbage.ts'
import { confirm } from '../confirm.ts'
import type { Session } from '../session.ts'
import { describeGarbage } from './gc.ts'

export interface PruneFlags {
  readonly all?: boolean
  readonly cache?: boolean
  readonly filter?: readonly string[]
  readonly dryRun?: boolean
  readonly force?: boolean
}

/** `cloudimg prune`: as docker's, with names by `--all` and the build's caches by `--cache`. */
export async function prune(session: Session, flags: PruneFlags): Promise<void> {
  const until = parseFilters(flags.filter ?? [], new Date())
  const dryRun = flags.dryRun === true
  const before = (time: Date): boolean => until === undefined || time < until
  if (!dryRun && flags.force !== true) await ask(session, flags)
  const { layout } = await session.store()
  const report = await collectGarbage(
    layout,
    {
      dryRun,
      dropName: ref => flags.all === true && before(ref.updated),
      dropCache: record => flags.cache === true && before(record.modified),
      ...(until === undefined ? {} : { keepSince: until }),
    },
    session.ctx,
  )
  session.answer({ dryRun, ...report }, () => describeGarbage(report, dryRun))
}

async function ask(session: Session, flags: PruneFlags): Promise<void> {
  const goes = [
    ...(flags.all === true ? ['every name'] : []),
    ...(flags.cache === true ? ['cached layers and downloads'] : []),
  ]
  if (goes.length === 0) return
  await confirm(session.terminal, `remove ${goes.join(' and ')}, and what only they need?`, '--force')
}

/** `until=TIME`, as docker has it; the earliest where several are given. @throws USAGE. */
export function parseFilters(filters: readonly string[], now: Date): Date | undefined {
  const times = filters.map(filter => {
    const [key = '', ...rest] = filter.split('=')
    if (key !== 'until' || rest.length === 0) {
      throw new CloudimgError('USAGE', `reading --filter "${filter}": no such filter`, { hint: 'write until=24h' })
    }
    return parseTime(rest.join('='), now)
  })
  return times.sort((a, b) => a.getTime() - b.getTime())[0]
}

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

function parseTime(text: string, now: Date): Date {
  if (/^(?:\d+(?:\.\d+)?(?:ms|[smhd]))+$/.test(text)) {
    const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|[smhd])/g)]
    return new Date(now.getTime() - parts.reduce((sum, [, count, unit]) => sum + Number(count) * unitMs[unit!]!, 0))
  }
  if (/^\d{1,11}$/.test(text)) return new Date(Number(text) * 1000)
  const time = /^\d{4}-\d{2}-\d{2}/.test(text) ? new Date(text) : undefined
  if (time !== undefined && !Number.isNaN(time.getTime())) return time
  throw new CloudimgError('USAGE', `reading --filter "until=${text}": no time`, {
    hint: 'write a duration (24h, 1h30m, 7d), a date (2026-01-31, 2026-01-31T12:00:00Z) or seconds since 1970',
  })
}
