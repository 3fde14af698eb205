import { join } from 'node:path'
import { buildImage, type BuildOptions } from '../../src/build/build-image.ts'
import { findDocument } from '../../src/build/base-images.ts'
import { openContext } from '../../src/build/context.ts'
import { openSources } from '../../src/build/sources.ts'
import { hostPlatform } from '../../src/core/platform.ts'
import { imageFor } from '../../src/oci/document.ts'
import type { ContainerConfig } from '../../src/oci/image.ts'
import { systemCredentials } from '../../src/oci/remote/credentials.ts'
import { remoteRepository } from '../../src/oci/remote/registry.ts'
import type { Store } from '../../src/oci/store/store.ts'
import { unpackLayers } from '../../src/oci/unpack.ts'
import { quietContext } from './command.ts'
import { listTree, type TreeListing } from './tree-listing.ts'

/** One build of many, in this process: a program for each would take most of the time. */
export interface BuildHere {
  readonly lines: string
  /** A directory; the Kubefile is taken for one that lies in it. */
  readonly context: string
  readonly buildArgs?: Readonly<Record<string, string>>
  readonly target?: string
}

export interface BuiltHere {
  readonly tree: TreeListing
  readonly config: ContainerConfig
  readonly author: string | undefined
}

const options: BuildOptions = {
  epoch: 0,
  compression: 'none',
  collect: 'auto',
  installer: false,
}

/** Builds for this machine's platform and unpacks into `directory`, which must not be there yet. */
export async function buildHere(store: Store, build: BuildHere, directory: string): Promise<BuiltHere> {
  const ctx = quietContext(120_000)
  const filename = join(build.context, 'Kubefile')
  const sources = await openSources({
    store,
    contextDirectory: build.context,
    mirrors: [],
    lock: { path: undefined },
    offline: false,
    pull: false,
    openRepository: ref => remoteRepository(ref, { credentials: systemCredentials() }),
  })
  const request = {
    kubefile: { filename, source: build.lines },
    context: await openContext(build.context, filename),
    platforms: [hostPlatform()],
    buildArgs: build.buildArgs ?? {},
    tags: [],
    target: build.target,
    sources,
    options,
  }
  const { platforms } = await buildImage(request, store, ctx)
  const manifest = await findDocument(store, platforms[0]!.manifest)
  const image = await imageFor(store, manifest!, hostPlatform(), ctx)
  await unpackLayers(store, image.manifest.layers, directory, ctx)
  return { tree: listTree(directory), config: image.config.config ?? {}, author: image.config.author }
}
