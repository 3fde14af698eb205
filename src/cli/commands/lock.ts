import { formatLockDifference } from '../../artifact/lock.ts'
import { isNamed } from '../../artifact/lock-view.ts'
import { planPlatforms, readKubefile } from '../../build/build-image.ts'
import { openContext } from '../../build/context.ts'
import { contextSources } from '../../build/copy-source.ts'
import { pinPlan } from '../../build/pin-plan.ts'
import { openSources } from '../../build/sources.ts'
import { CloudimgError } from '../../core/error.ts'
import { hostPlatform } from '../../core/platform.ts'
import { helmRenderer } from '../../workload/render-chart.ts'
import { readConfigFile } from '../config-file.ts'
import { remoteAccess } from '../remote-access.ts'
import type { Session } from '../session.ts'
import { findKubefile, lockPath, openNamedContexts, readSource } from '../build-input.ts'
import { type BuildFlags, parseBuildArgs } from './build.ts'

export interface LockFlags extends Pick<
  BuildFlags,
  'file' | 'platforms' | 'buildArg' | 'buildContext' | 'mirror' | 'lockFile'
> {
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
  await using opened = new AsyncDisposableStack()
  const wishes = {
    contexts: await openNamedContexts(session, flags.buildContext ?? [], async () => sources, opened),
    platforms: flags.platforms ?? [hostPlatform()],
    buildArgs: parseBuildArgs(flags.buildArg ?? [], terminal.env),
  }
  const inputs = {
    kubefile,
    context: await openContext(contextDirectory, file),
    store: await session.store(),
    sources,
    contexts: wishes.contexts,
    copySource: contextSources(),
    isFresh: () => false,
    render: helmRenderer(),
  }
  for (const plan of await planPlatforms(kubefile, wishes, sources.images, ctx)) await pinPlan(plan, inputs, ctx)
  const { changed, difference } = await sources.finish({ prune: flags.prune === true }, ctx)
  session.answer({ path, changed, difference }, () =>
    changed ? formatLockDifference(difference).join('\n') : `${path}: nothing to change`,
  )
}
