import { createHash } from 'node:crypto'
import type { Context } from '../../core/context.ts'
import { hostPlatform } from '../../core/platform.ts'
import { readFileIfPresent } from '../../io/files.ts'
import type { Store } from '../../oci/store/store.ts'
import type { BaseImages } from '../base-images.ts'
import { readContent } from '../tree-content.ts'
import { chooseExecutor, type ChosenExecutor } from './choose-executor.ts'
import type { ExecutorName, ReadableTree, Toolbox } from './executor.ts'
import type { Secrets } from './secrets.ts'

/** What a user says of RUN. */
export interface RunWishes {
  readonly executor: ExecutorName | undefined
  /** An image, by its name in full; this machine's programs where it is undefined. */
  readonly toolbox: string | undefined
  readonly secrets: Secrets
}

/** What all commands of a build share. */
export interface RunServices extends Pick<RunWishes, 'secrets'> {
  /** The store's. */
  readonly home: string
  /** The one that was asked for. */
  readonly executorName: ExecutorName | undefined
  /** Looked for when a command needs it. @throws EXECUTOR_UNAVAILABLE. */
  executor(ctx: Context): Promise<ChosenExecutor>
  /** `key`: what results in it depend on. */
  toolbox(ctx: Context): Promise<{ readonly toolbox: Toolbox; readonly key: string }>
}

export function openRunServices(
  { executor: name, toolbox: image, secrets = new Map() }: Partial<RunWishes>,
  { home, images, store }: { readonly home: string; readonly images: BaseImages; readonly store: Store },
): RunServices {
  const read: ReadableTree['read'] = (file, ctx) => readContent(store, file, { offset: 0, length: file.size }, ctx)
  let executor: Promise<ChosenExecutor> | undefined
  let toolbox: Promise<{ readonly toolbox: Toolbox; readonly key: string }> | undefined
  return {
    home,
    secrets,
    executorName: name,
    executor: ctx => (executor ??= chooseExecutor(name, home, ctx)),
    toolbox: ctx => (toolbox ??= image === undefined ? hostToolbox() : imageToolbox(image, images, read, ctx)),
  }
}

/** This machine's programs are known by what the distribution says of itself. */
async function hostToolbox(): Promise<{ readonly toolbox: Toolbox; readonly key: string }> {
  const release = (await readFileIfPresent('/etc/os-release').catch(() => undefined)) ?? Buffer.alloc(0)
  return { toolbox: { from: 'host' }, key: `host ${createHash('sha256').update(release).digest('hex')}` }
}

/** An image for this machine, whatever is built: tools run without an emulator. */
async function imageToolbox(
  image: string,
  images: BaseImages,
  read: ReadableTree['read'],
  ctx: Context,
): Promise<{ readonly toolbox: Toolbox; readonly key: string }> {
  const found = await images.open({ image, platform: hostPlatform() }, ctx)
  const content = { tree: await found.tree(), read }
  return { toolbox: { from: 'image', content }, key: `image ${found.descriptor.digest}` }
}
