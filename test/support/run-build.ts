import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { processState } from '../../src/io/process-identity.ts'
import { attempt } from './command.ts'
import { cloudimgFailure, type CloudimgFailure, cloudimgJson, type CloudimgPlace, storeOf } from './cloudimg.ts'
import { listTree, type TreeListing } from './tree-listing.ts'

export interface RunBuild {
  readonly index: string
  readonly platforms: readonly {
    readonly platform: string
    readonly layers: readonly { readonly digest: string; readonly diffId: string; readonly size: number }[]
    readonly cached: number
  }[]
}

/** Builds of RUN lines on the image `base`, each with a Kubefile of its own. */
export class RunBuilder {
  readonly place: CloudimgPlace
  #count = 0

  constructor(place: CloudimgPlace) {
    this.place = place
  }

  /** The arguments of a build of these lines; its image is `out`. */
  async args(lines: readonly string[], flags: readonly string[] = [], from = 'base'): Promise<readonly string[]> {
    const context = join(this.place.home, `context-${++this.#count}`)
    await mkdir(context, { recursive: true })
    await writeFile(join(context, 'Kubefile'), [`FROM ${from}`, ...lines, ''].join('\n'))
    return ['build', context, '-t', 'out', ...flags]
  }

  async build(lines: readonly string[], flags: readonly string[] = [], from?: string): Promise<RunBuild> {
    return await cloudimgJson<RunBuild>(await this.args(lines, flags, from), this.place)
  }

  async failure(lines: readonly string[], flags: readonly string[] = [], from?: string): Promise<CloudimgFailure> {
    return await cloudimgFailure(await this.args(lines, flags, from), this.place)
  }

  /** The tree of the last image that was built. */
  async tree(name: string): Promise<TreeListing> {
    const directory = join(this.place.home, `tree-${name}-${++this.#count}`)
    await cloudimgJson(['unpack', 'out', directory], this.place)
    return listTree(directory)
  }

  /** Entries of the topmost layer, as GNU tar lists them: mode, owner, name, link. */
  async topLayer(built: RunBuild): Promise<readonly string[]> {
    const { digest } = built.platforms[0]!.layers.at(-1)!
    const blob = join(storeOf(this.place), 'blobs/sha256', digest.slice('sha256:'.length))
    const { stdout } = await attempt(['tar', '-tvf', blob, '--numeric-owner'])
    return stdout
      .trim()
      .split('\n')
      .map(line => line.replace(/\s+\d+\s+1970-01-01 00:00\s+/, ' '))
  }
}

/** What commands left behind that nobody needs any more: workspaces of the store, secrets in memory. */
export async function runLeftovers(place: CloudimgPlace): Promise<readonly string[]> {
  const workspaces = await readdir(join(storeOf(place), 'run')).catch(() => [])
  // Another test run may have secrets there just now.
  const secrets = (await readdir('/dev/shm')).filter(name => {
    const owner = /^cloudimg-secret-([^.]+)\./.exec(name)?.[1]
    return owner !== undefined && processState(owner) === 'gone'
  })
  return [...workspaces, ...secrets]
}
