import { Readable } from 'node:stream'
import { type Context, type Task, withTask } from '../core/context.ts'
import { hexOf, shortenDigests } from '../core/digest.ts'
import type { Host } from '../host/host.ts'
import type { Op } from '../runtime/step.ts'
import { callInstaller, type Lease } from './installer.ts'
import type { FanOut } from './fanout/fan-out.ts'
import type { Keep } from './keep.ts'
import { holds, type Sight } from './probe.ts'
import { packPath } from './missing-files.ts'
import { skip, type Sources } from './sources.ts'
import { eventually, type Pace, watch } from './waiting.ts'

export interface Tools extends Sight {
  readonly keep: Keep
  readonly sources: Sources
  /** Where hosts pass files on to each other. */
  readonly fanOut?: FanOut
  readonly lease: Lease
  readonly pace: Pace
}

// $1 target, $2 mode; the content is stdin, which may hold a token: never readable by others, not even for a moment.
const writeScript = `set -e; umask 077; d=$(dirname "$1"); [ -d "$d" ] || mkdir -p "$d"
cat > "$1.cloudimg-new"; chmod "$2" "$1.cloudimg-new"; sync "$1.cloudimg-new" 2>/dev/null || sync; mv -f "$1.cloudimg-new" "$1"`

// Lines of MODE SHA256 on stdin, each followed by the two paths. What is there and equal stays; a link costs no space.
const copyScript = `set -e; umask 022
while read -r mode sum && IFS= read -r from && IFS= read -r to; do
  mkdir -p "$(dirname "$to")"; rm -f "$to"
  ln "$from" "$to" 2>/dev/null || cp "$from" "$to"
  [ "$(sha256sum < "$to" | cut -d ' ' -f 1)" = "$sum" ] || { rm -f "$to"; echo "\\"$from\\" is not what its list says" >&2; exit 1; }
  [ "$(stat -c %a "$to")" = "$mode" ] || { cp "$to" "$to.cloudimg-new"; chmod "$mode" "$to.cloudimg-new"; mv -f "$to.cloudimg-new" "$to"; }
done`

const unpackPackScript = 'umask 022; mkdir -p "$1" && tar -x -p -m -f "$2" -C "$1"'

/** Carries out one op. True where the host is not as it was. */
export async function perform(op: Op, host: Host, tools: Tools, ctx: Context): Promise<boolean> {
  switch (op.op) {
    case 'file': {
      const input = await tools.holes.fill(op.content, ctx)
      const argv = ['sh', '-c', writeScript, 'write-file', op.path, op.mode.toString(8)]
      await host.exec(argv, { input, secrets: tools.holes.secrets() }, ctx)
      return true
    }
    case 'upload':
      return (await upload(op, host, tools, ctx)) === 'sent'
    case 'unpack':
      await withTask(ctx, `sending small files to ${host.name}`, async task => {
        const total = op.entries.reduce((sum, entry) => sum + (entry.type === 'file' ? entry.size : 0), 0)
        if (op.passedOn === true && tools.fanOut !== undefined) return await unpackPack(op, host, tools, ctx, task)
        await host.unpack(
          op.directory,
          tools.sources.tar(op.entries, ctx, done => task.progress(done, total)),
          ctx,
        )
      })
      return true
    case 'copy': {
      const input = op.files
        .map(file => `${file.mode.toString(8)} ${hexOf(file.digest)}\n${file.from}\n${file.to}\n`)
        .join('')
      await host.exec(['sh', '-c', copyScript, 'copy-files'], { input }, ctx)
      for (const file of op.files) tools.fanOut?.have(host.name, file.digest, file.to)
      return true
    }
    case 'exec':
      await host.exec(op.argv, { secrets: tools.holes.secrets() }, ctx)
      return true
    case 'installer': {
      const work = async (task: Task): Promise<boolean> => (await callInstaller(host, op, tools, ctx, task)).changed
      return await withTask(ctx, `cloudimg-node ${op.verb} on ${host.name}`, work, 'items')
    }
    case 'wait': {
      const look = async () => ((await holds(op.until, host, tools, ctx)) ? undefined : `not ${op.what}`)
      const doing = `waiting on "${host.name}" until ${op.what}`
      await eventually(doing, op.timeoutSeconds, tools.pace, ctx, look, op.hint)
      return false
    }
    case 'watch': {
      const look = async () => ((await holds(op.stays, host, tools, ctx)) ? undefined : `not ${op.what} any more`)
      await watch(`watching on "${host.name}" that ${op.what}`, op.seconds, tools.pace, ctx, look)
      return false
    }
    case 'pause':
      await tools.pace.sleep(op.seconds * 1000 * tools.pace.settling, ctx.signal)
      return false
    case 'push':
      await tools.registry?.push(ctx)
      return true
    case 'fetch':
      await tools.keep.fetch(host, op.path, op.name, ctx)
      return true
  }
}

async function upload(
  op: Extract<Op, { op: 'upload' }>,
  host: Host,
  tools: Tools,
  ctx: Context,
): Promise<'sent' | 'unchanged'> {
  return await withTask(ctx, `sending ${shortenDigests(op.path)} to ${host.name}`, async task => {
    const file = {
      to: op.path,
      mode: op.mode,
      size: op.size,
      digest: op.digest,
      open: (offset: number, ctx: Context) => tools.sources.open(op.digest, offset, ctx),
    }
    const outcome =
      tools.fanOut === undefined
        ? await host.upload(file, ctx, sent => task.progress(sent, op.size))
        : await tools.fanOut.bring(file, host, op.passedOn === true, ctx, task)
    task.end(outcome === 'sent' ? 'done' : 'skipped')
    return outcome
  })
}

/** Small files as one file, so that hosts can pass them on. It goes when the phase ends. */
async function unpackPack(
  { directory, entries }: Extract<Op, { op: 'unpack' }>,
  host: Host,
  { sources, fanOut }: Tools,
  ctx: Context,
  task: Task,
): Promise<void> {
  const { digest, size } = await sources.pack(entries, ctx)
  const open = (offset: number, ctx: Context): Promise<Readable> =>
    Promise.resolve(Readable.from(skip(sources.tar(entries, ctx), offset), { objectMode: false }))
  const pack = { to: packPath(directory), mode: 0o600, size, digest, open }
  await fanOut!.bring(pack, host, true, ctx, task)
  await host.exec(['sh', '-c', unpackPackScript, 'unpack-pack', directory, pack.to], {}, ctx)
}
