import { basename, dirname } from 'node:path'
import { MiB } from '../core/bytes.ts'
import { CloudimgError, isCloudimgError } from '../core/error.ts'
import { readFileIfPresent } from '../io/files.ts'
import { formatAge } from './age.ts'
import { parseJournal } from './journal.ts'

/**
 * What a failed upgrade says where a server was started with another minor version: nothing is taken back by itself then, since the
 * datastore may have been changed (DEPLOY.md, "Upgrade"). `now`: milliseconds since 1970.
 */
export async function withWayBack(error: unknown, now: number): Promise<unknown> {
  if (!isCloudimgError(error, 'PHASE_FAILED') || typeof error.data.journal !== 'string') return error
  const { journal } = error.data
  const lines = parseJournal((await readFileIfPresent(journal, 256 * MiB))?.toString('utf8') ?? '')
  const isPast = lines.some(
    ({ event, step = '', undo }) => event === 'start' && step.startsWith('upgrade/') && undo === 'none',
  )
  const taken = lines.findLast(({ event, step = '' }) => event === 'done' && step.startsWith('snapshot/'))
  if (!isPast || taken === undefined) return error
  const cluster = basename(dirname(journal))
  const command = `cloudimg snapshot restore ${taken.op} --cluster ${cluster} --confirm ${cluster}`
  const way = `back to the version and the state from before: ${command}; its snapshot is ${formatAge((now - taken.t) / 1000)} old, and what was written since is lost`
  return new CloudimgError(error.code, error.message, {
    cause: error.cause,
    data: { ...error.data, restore: command },
    hint: error.hint === undefined ? way : `${error.hint}\n${way}`,
  })
}
