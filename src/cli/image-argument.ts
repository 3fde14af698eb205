import type { Context } from '../core/context.ts'
import { CloudimgError } from '../core/error.ts'
import { hostPlatform, parsePlatform, type Platform } from '../core/platform.ts'
import { familiarReference, formatReference, parseReference, type Reference } from '../core/reference.ts'
import { suggest } from '../core/suggest.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import type { Store } from '../oci/store/store.ts'

/** A reference given by a person, found in the store. @throws IMAGE_NOT_FOUND with the nearest name and how to get it. */
export async function findImage(
  store: Store,
  text: string,
  ctx: Context,
): Promise<{ readonly ref: Reference; readonly descriptor: Descriptor }> {
  const ref = parseReference(text)
  const descriptor = await store.resolve(formatReference(ref), ctx)
  if (descriptor !== undefined) return { ref, descriptor }
  const names = (await store.refs()).map(stored => familiarReference(parseReference(stored.name)))
  const near = suggest(familiarReference(ref), names)
  throw new CloudimgError('IMAGE_NOT_FOUND', `looking for "${familiarReference(ref)}": not in the local store`, {
    hint: near === undefined ? `run: cloudimg pull ${text}` : `did you mean ${near}?`,
  })
}

/** `linux/amd64,linux/arm64`, repeated or not; undefined where none was given. */
export function parsePlatforms(values: readonly string[] | undefined): readonly Platform[] | undefined {
  const names = (values ?? []).flatMap(value => value.split(',')).filter(name => name.trim() !== '')
  return names.length === 0 ? undefined : names.map(parsePlatform)
}

export function onePlatform(value: string | undefined): Platform {
  return value === undefined ? hostPlatform() : parsePlatform(value)
}
