import { buffer } from 'node:stream/consumers'
import { MiB } from '../core/bytes.ts'
import type { ClusterMetadata } from '../core/cluster-metadata.ts'
import type { Context } from '../core/context.ts'
import type { Digest } from '../core/digest.ts'
import { CloudimgError } from '../core/error.ts'
import type { Platform } from '../core/platform.ts'
import type { DeployPlatform } from '../deploy/deploy-image.ts'
import type { RootfsFile } from '../oci/rootfs-file.ts'
import type { WorkloadTree } from '../workload/workload-tree.ts'

export type BundleFile = Extract<RootfsFile, { type: 'file' }>

const maxText = 64 * MiB

/** One platform of a cluster image as a host would get it. Whoever leaves entries out has another bundle. */
export class Bundle {
  readonly platform: Platform
  readonly digest: Digest
  readonly metadata: ClusterMetadata
  readonly entries: readonly RootfsFile[]
  readonly #byPath: ReadonlyMap<string, RootfsFile>

  constructor(
    { platform, digest, metadata }: Pick<DeployPlatform, 'platform' | 'digest' | 'metadata'>,
    entries: readonly RootfsFile[],
  ) {
    this.platform = platform
    this.digest = digest
    this.metadata = metadata
    this.entries = entries
    this.#byPath = new Map(entries.map(entry => [entry.path, entry]))
  }

  /** Regular files; of links only what they are is known. */
  file(path: string): BundleFile | undefined {
    const entry = this.#byPath.get(path)
    return entry?.type === 'file' ? entry : undefined
  }

  has(path: string): boolean {
    return this.#byPath.has(path) || this.entries.some(entry => entry.path.startsWith(`${path}/`))
  }

  files(): readonly BundleFile[] {
    return this.entries.filter(entry => entry.type === 'file')
  }

  /** Undefined where there is no such file. @throws SIZE_MISMATCH for what is too large to be read whole. */
  async read(path: string, ctx: Context): Promise<Buffer | undefined> {
    const file = this.file(path)
    if (file === undefined) return undefined
    if (file.size > maxText)
      throw new CloudimgError('SIZE_MISMATCH', `reading "/${path}": ${file.size} bytes, at most ${maxText} are taken`)
    return await buffer(await file.open(ctx))
  }

  async readText(path: string, ctx: Context): Promise<string | undefined> {
    return (await this.read(path, ctx))?.toString('utf8')
  }

  /** The first bytes of a file. */
  async head(file: BundleFile, bytes: number, ctx: Context): Promise<Buffer> {
    const parts: Buffer[] = []
    let size = 0
    const body = await file.open(ctx)
    try {
      for await (const part of body as AsyncIterable<Buffer>) {
        parts.push(part)
        if ((size += part.length) >= bytes) break
      }
    } finally {
      body.destroy()
    }
    return Buffer.concat(parts).subarray(0, bytes)
  }

  /** As those see it who look for images in it. */
  workloads(ctx: Context): WorkloadTree {
    return {
      files: directory => this.files().filter(({ path }) => path.startsWith(`${directory}/`)),
      read: async ({ path }) => (await this.read(path, ctx)) ?? Buffer.alloc(0),
    }
  }
}

export async function openBundle(image: DeployPlatform, ctx: Context): Promise<Bundle> {
  return new Bundle(image, await image.listRootfs(ctx))
}
