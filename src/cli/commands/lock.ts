import { formatLockDifference } from '../../artifact/lock.ts'
import { isNamed } from '../../artifact/lock-view.ts'
import { planPlatforms, readKubefile } from '../../build/build-image.ts'
import type { BuildPlan } from '../../build/plan.ts'
import { type BuildSources, openSources } from '../../build/sources.ts'
import type { Context } from '../../core/context.ts'
import { CloudimgError } from '../../core/error.ts'
import { hostPlatform } from '../../core/platform.ts'
import { readConfigFile } from '../config-file.ts'
import { remoteAccess } from '../remote-access.ts'
import type { Session } from '../session.ts'
import { type BuildFlags, findKubefile, lockPath, parseBuildArgs, readSource } from './build.ts'

export interface LockFlags extends Pick<BuildFlags, 'file' | 'platforms' | 'buildArg' | 'mirror' | 'lockFile'> {
  readonly update?: readonly string[]
  readonly prune?: boolean
}

/** `cloudimg lock`: resolves and pins what a build would take from outside, and prints the difference. */
export async function lock(session: Session, contextDirectory: string, flags: LockFlags): Promise<void> {
  const { ctx, terminal } = session
  const file = await findKubefile(contextDirectory, flags.file)
  const path = lockPath(file, flags.lockFile)
  if (path === undefined)
    throw new CloudimgError('USAGE', 'locking a Kubefile from stdin: it has no place for a lock', {
      hint: 'name one with --lock-file',
    })
  const kubefile = readKubefile({ filename: file, source: await readSource(file, terminal.stdin) }, ctx)
  const names = flags.update ?? []
  const access = await remoteAccess(session)
  const sources = await openSources({
    store: await session.store(),
    contextDirectory,
    mirrors: [...(flags.mirror ?? []), ...(await readConfigFile(terminal.env)).mirrors],
    lock: { path, update: entry => names.some(name => isNamed(entry, name)) },
    offline: false,
    pull: false,
    openRepository: ref => access.source(ref),
  })
  const wishes = {
    platforms: flags.platforms ?? [hostPlatform()],
    buildArgs: parseBuildArgs(flags.buildArg ?? [], terminal.env),
  }
  for (const plan of await planPlatforms(kubefile, wishes, sources.images, ctx)) await pin(plan, sources, ctx)
  const { changed, difference } = await sources.finish({ prune: flags.prune === true }, ctx)
  session.answer({ path, changed, difference }, () =>
    changed ? formatLockDifference(difference).join('\n') : `${path}: nothing to change`,
  )
}

/** Looks up what the plan takes from outside, which pins it. */
async function pin(plan: BuildPlan, sources: BuildSources, ctx: Context): Promise<void> {
  for (const { platform, steps } of plan.stages) {
    for (const step of steps) {
      if (step.kind === 'template') await sources.templates.lay(step.template, step.version, platform, ctx)
      if (step.kind !== 'copy') continue
      const { origin } = step
      if (origin.from === 'image') await sources.images.open({ image: origin.image, platform }, ctx)
      for (const item of step.sources) if (item.kind === 'url') await sources.fetch(item.url, item.checksum, ctx)
    }
  }
}
