import { createWriteStream } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { BuildResult } from '../build/build-image.ts'
import { exportDirectory, exportTar, imagesOf } from '../build/export-rootfs.ts'
import { findDocument } from '../build/base-images.ts'
import { CloudimgError } from '../core/error.ts'
import { parseReference, type Reference } from '../core/reference.ts'
import { temporaryBeside, withFileErrors, writeFileAtomic } from '../io/files.ts'
import { streamOf } from '../io/read-file.ts'
import { saveArchive } from '../oci/archive/save-archive.ts'
import { saveDirectory } from '../oci/archive/save-directory.ts'
import type { Session } from './session.ts'

/** Where a build goes beside the store; `-` is standard output. */
export type BuildOutput =
  | { readonly kind: 'local'; readonly dest: string }
  | { readonly kind: 'tar'; readonly dest: string }
  | { readonly kind: 'oci'; readonly dest: string; readonly isTar: boolean }

/** As docker has it: `DIR`, `-`, or `type=local|tar|oci,dest=PATH`. @throws USAGE */
export function parseOutput(text: string): BuildOutput {
  const fail = (why: string): never => {
    throw new CloudimgError('USAGE', `reading --output "${text}": ${why}`, {
      hint: 'write a directory, - for a tar on standard output, or type=local|tar|oci,dest=PATH; -t names the image in the store',
    })
  }
  if (!text.includes('=')) return text === '-' ? { kind: 'tar', dest: '-' } : { kind: 'local', dest: text }
  const fields = new Map(text.split(',').map(field => field.split(/=(.*)/s) as [string, string]))
  const unknown = [...fields.keys()].find(name => !['type', 'dest', 'tar'].includes(name))
  if (unknown !== undefined) fail(`"${unknown}" is none of type, dest, tar`)
  const dest = fields.get('dest')
  if (dest === '') fail('dest is empty')
  switch (fields.get('type')) {
    case 'local':
      return dest === undefined || dest === '-' ? fail('type=local needs dest=DIRECTORY') : { kind: 'local', dest }
    case 'tar':
      return { kind: 'tar', dest: dest ?? '-' }
    case 'oci':
    case 'docker': {
      const isTar = fields.get('tar') !== 'false'
      if (!isTar && (dest === undefined || dest === '-')) fail('tar=false needs dest=DIRECTORY')
      return { kind: 'oci', dest: dest ?? '-', isTar }
    }
    case undefined:
    default:
      return fail(`type is none of local, tar, oci`)
  }
}

/** Before anything is built. @throws USAGE where two outputs, or an archive and a terminal, would meet on standard output. */
export function checkOutputs(outputs: readonly BuildOutput[], { terminal, json }: Session): void {
  const streams = outputs.filter(({ dest }) => dest === '-')
  if (streams.length === 0) return
  if (streams.length > 1 || json)
    throw new CloudimgError('USAGE', 'writing to standard output: an archive is alone there', {
      hint: 'name files with dest=PATH',
    })
  if (terminal.stdout.isTTY)
    throw new CloudimgError('USAGE', 'writing an archive to a terminal: it is no text', {
      hint: 'pipe it, or name a file',
    })
}

export interface OutputRequest {
  readonly result: BuildResult
  readonly tags: readonly Reference[]
  readonly epoch: number
}

export async function writeOutput(session: Session, output: BuildOutput, request: OutputRequest): Promise<void> {
  const { ctx } = session
  const store = await session.store()
  const { result, tags, epoch } = request
  if (output.kind === 'oci') {
    const descriptor = await findDocument(store, result.index)
    if (descriptor === undefined) throw new CloudimgError('BUG', 'the index that was built is not in the store')
    const names = tags.length === 0 ? [unnamed(result)] : tags
    const roots = names.map(name => ({ name, descriptor }))
    if (!output.isTar) return await saveDirectory(store, roots, output.dest, {}, ctx)
    return await toFile(session, output.dest, out => saveArchive(store, roots, out, {}, ctx))
  }
  const images = await imagesOf(
    store,
    result.platforms.map(({ manifest }) => manifest),
    ctx,
  )
  if (output.kind === 'local') return await exportDirectory(store, images, output.dest, ctx)
  await toFile(session, output.dest, out =>
    pipeline(streamOf(exportTar(store, images, epoch, ctx)), out, { signal: ctx.signal }),
  )
}

function unnamed({ index }: BuildResult): Reference {
  return { ...parseReference('localhost/build', undefined), digest: index }
}

/** A file appears under its name when it is whole. */
async function toFile(session: Session, dest: string, write: (out: Writable) => Promise<void>): Promise<void> {
  if (dest === '-') return await write(session.terminal.stdout)
  const path = resolve(dest)
  const temporary = temporaryBeside(path)
  try {
    await withFileErrors('writing', path, async () => {
      await write(createWriteStream(temporary, { flags: 'wx' }))
      await rename(temporary, path)
    })
  } finally {
    await rm(temporary, { force: true })
  }
}

/** What buildx writes, in its words, and our own answer beside. */
export async function writeMetadata(
  path: string,
  {
    result,
    names,
    answer,
  }: { readonly result: BuildResult; readonly names: readonly string[]; readonly answer: object },
): Promise<void> {
  const [only, ...others] = result.platforms
  const metadata = {
    'containerimage.digest': result.index,
    ...(only === undefined || others.length > 0 ? {} : { 'containerimage.config.digest': only.config }),
    ...(names.length === 0 ? {} : { 'image.name': names.join(',') }),
    'cloudimg.build': answer,
  }
  await writeFileAtomic(path, `${JSON.stringify(metadata, null, 2)}\n`)
}
