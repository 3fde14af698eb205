import { CloudimgError } from '../core/error.ts'
import { formatReference, parseReference } from '../core/reference.ts'

/** Who asked for a container image: for the person who has to find the line. */
export interface ImageRequest {
  /** In full, with registry and tag. */
  readonly image: string
  readonly file: string
  readonly line: number
}

/** `manifests/imageList`: one reference for each line; blank lines and `#` comments are passed over. @throws USAGE naming file and line. */
export function parseImageList(text: string, file: string): readonly ImageRequest[] {
  return text.split(/\r?\n/).flatMap((raw, index) => {
    const name = raw.replace(/(^|\s)#.*$/, '').trim()
    if (name === '') return []
    return [{ image: fullName(name, `${file}:${index + 1}`), file, line: index + 1 }]
  })
}

function fullName(name: string, where: string): string {
  try {
    return formatReference(parseReference(name))
  } catch (error) {
    if (!(error instanceof CloudimgError)) throw error
    throw new CloudimgError('USAGE', `${where}: ${error.message}`, {
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      cause: error,
    })
  }
}
