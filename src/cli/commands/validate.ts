import { formatBytes } from '../../core/bytes.ts'
import { familiarReference, formatReference } from '../../core/reference.ts'
import { validateImage } from '../../oci/validate-image.ts'
import { type ImageFlags, openImage } from '../registry-image.ts'
import type { Session } from '../session.ts'

export interface ValidateFlags extends ImageFlags {
  readonly fast?: boolean
  readonly concurrency?: number
}

/** `cloudimg validate REF`: reads all of it; exit code 5 where anything is not as it should be. */
export async function validate(session: Session, text: string, flags: ValidateFlags): Promise<number> {
  const { ref, source, root } = await openImage(session, text, flags)
  const { concurrency, fast } = flags
  const options = {
    ...(concurrency === undefined ? {} : { concurrency }),
    ...(fast === undefined ? {} : { fast }),
  }
  const result = await validateImage(source, root, options, session.ctx)
  const { faults, blobs, bytes, documents } = result
  const name = `${familiarReference(ref).replace(/@.*/, '')}@${root.digest}`
  const summary = `${documents} documents, ${blobs} blobs, ${formatBytes(bytes)}${fast === true ? ', not read' : ''}`
  session.answer({ name: formatReference(ref), digest: root.digest, valid: faults.length === 0, ...result }, () =>
    faults.length === 0
      ? `${name} is sound: ${summary}`
      : [...faults.map(({ what, why }) => `${what}: ${why}`), `${name} is NOT sound: ${faults.length} faults`].join(
          '\n',
        ),
  )
  return faults.length === 0 ? 0 : 5
}
