import { isCloudimgError } from '../core/error.ts'
import { formatReference, parseReference, type Reference } from '../core/reference.ts'

/**
 * What a text is as an image's name: `complete` with a tag or digest, `qualified` when its registry is written too,
 * `bare` without either, `variable` when something in it is filled in later.
 */
export type NameKind = 'none' | 'variable' | 'bare' | 'complete' | 'qualified'

// Whatever is no reference by its letters need not be parsed.
const possible = /^[\w.:/@[\]-]+$/

export function readName(text: string): NameKind {
  if (/\$\(|\$\{|\{\{/.test(text)) return 'variable'
  const ref = possible.test(text) ? parse(text) : undefined
  if (ref === undefined) return 'none'
  if (ref.tag === undefined && ref.digest === undefined) return 'bare'
  const [first, ...rest] = text.split('/')
  const hasHost = rest.length > 0 && (/[.:]/.test(first!) || first === 'localhost')
  return hasHost ? 'qualified' : 'complete'
}

export function isComplete(text: string): boolean {
  const kind = readName(text)
  return kind === 'complete' || kind === 'qualified'
}

export function isReference(text: string): boolean {
  return possible.test(text) && parse(text) !== undefined
}

/** As containerd stores it; `:latest` where there is neither tag nor digest. */
export function fullName(text: string): string {
  return formatReference(parseReference(text))
}

function parse(text: string): Reference | undefined {
  try {
    return parseReference(text, null)
  } catch (error) {
    if (isCloudimgError(error)) return undefined
    throw error
  }
}

/** Whether what stands under this name is an image. */
export function isImageLike(name: string): boolean {
  return (
    /^image$/i.test(name) ||
    /(?:Image|_image|_IMAGE|-image|ImageName)$/.test(name) ||
    name === 'image_name' ||
    name === 'imageName' ||
    name.startsWith('RELATED_IMAGE_')
  )
}

/** Whether what stands under this name are images. */
export function isImagesLike(name: string): boolean {
  return name === 'images' || /(?:Images|_IMAGES|_images|-images)$/.test(name)
}
