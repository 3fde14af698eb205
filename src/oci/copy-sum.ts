import { formatBytes } from '../core/bytes.ts'
import { type Context, type Task, withTask } from '../core/context.ts'
import { shortDigest } from '../core/digest.ts'
import type { Descriptor } from './descriptor.ts'
import type { Written } from './ends.ts'

const words: Readonly<Record<Written, string>> = {
  written: 'copied',
  resumed: 'resumed',
  mounted: 'mounted',
  present: 'already there',
}

/** Tells how a copy gets on: each blob, and all of them together. */
export class CopySum {
  readonly #ctx: Context
  readonly #title: string | undefined
  readonly #total: number
  readonly #outcomes: Readonly<Record<Written, { blobs: number; bytes: number }>> = {
    written: { blobs: 0, bytes: 0 },
    resumed: { blobs: 0, bytes: 0 },
    mounted: { blobs: 0, bytes: 0 },
    present: { blobs: 0, bytes: 0 },
  }
  #done = 0
  #task: Task | undefined

  constructor(ctx: Context, title: string | undefined, blobs: readonly Descriptor[]) {
    this.#ctx = ctx
    this.#title = title
    this.#total = blobs.reduce((sum, { size }) => sum + size, 0)
  }

  async during(work: () => Promise<void>): Promise<void> {
    if (this.#title === undefined) return await work()
    await withTask(this.#ctx, this.#title, async task => {
      this.#task = task
      task.progress(0, this.#total)
      await work()
      task.end('done', this.#note())
    })
  }

  /** One blob: `work` is given a way to tell how many of its bytes are there, and says in the end how they came there. */
  async blob(blob: Descriptor, work: (progress: (bytes: number) => void) => Promise<Written>): Promise<void> {
    const title = `blob ${shortDigest(blob.digest)}`
    let seen = 0
    const copy = async (task: Task): Promise<void> => {
      const progress = (bytes: number): void => {
        task.progress(bytes, blob.size)
        this.#done += bytes - seen
        seen = bytes
        this.#task?.progress(this.#done, this.#total)
      }
      progress(0)
      const written = await work(progress)
      const moved = written === 'written' || written === 'resumed'
      if (moved) progress(blob.size)
      else this.#skip(blob.size - seen)
      this.#outcomes[written].blobs++
      this.#outcomes[written].bytes += blob.size
      task.end(moved ? 'done' : 'cached', words[written])
    }
    await withTask(this.#ctx, title, copy, 'bytes', this.#task?.id)
  }

  #skip(bytes: number): void {
    this.#done += bytes
    this.#task?.progress(this.#done, this.#total)
  }

  /** `3 copied (312 MiB), 1 mounted (12.0 MiB), 8 already there (500 MiB)` */
  #note(): string {
    const parts = (['written', 'resumed', 'mounted', 'present'] as const).flatMap(outcome => {
      const { blobs, bytes } = this.#outcomes[outcome]
      return blobs === 0 ? [] : [`${blobs} ${words[outcome]} (${formatBytes(bytes)})`]
    })
    return parts.join(', ') || 'nothing to copy'
  }
}
