import { isDigest } from '../core/digest.ts'
import { CloudimgError, isCloudimgError } from '../core/error.ts'
import { formatReference, parseReference } from '../core/reference.ts'
import type { ImageRequest, LocalSource } from './image-request.ts'

const localPattern = /^(docker-daemon|docker-archive|oci-archive|oci):(.*)$/s

/** A list of images, and the lines that are no image's. */
export interface ImageList {
  readonly requests: readonly ImageRequest[]
  readonly wrongLines: readonly { readonly line: number; readonly message: string }[]
}

/**
 * `manifests/imageList`, `images/shim/*`, `k3s-images.txt`: one image for each line; blank lines and `#` comments are passed
 * over. Beside references it takes what skopeo calls transports: `docker-archive:PATH[:NAME][@AS]`, `oci-archive:…`, `oci:…`,
 * `docker-daemon:NAME`.
 */
export function parseImageList(text: string, file: string): ImageList {
  const requests: ImageRequest[] = []
  const wrongLines: { line: number; message: string }[] = []
  for (const [index, raw] of text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .entries()) {
    const name = raw.replace(/(^|\s)#.*$/, '').trim()
    if (name === '') continue
    try {
      requests.push({ ...parseLine(name), file, line: index + 1, field: '' })
    } catch (error) {
      if (!isCloudimgError(error)) throw error
      wrongLines.push({ line: index + 1, message: error.message })
    }
  }
  return { requests, wrongLines }
}

function parseLine(text: string): Pick<ImageRequest, 'image' | 'source'> {
  const [, transport, rest = ''] = localPattern.exec(text) ?? []
  if (transport === undefined) return { image: formatReference(parseReference(text)) }
  return parseLocal(text, transport as LocalSource['transport'], rest)
}

function parseLocal(
  text: string,
  transport: LocalSource['transport'],
  rest: string,
): Pick<ImageRequest, 'image' | 'source'> {
  const at = rest.lastIndexOf('@')
  const isRenamed = at >= 0 && !isDigest(rest.slice(at + 1))
  const from = isRenamed ? rest.slice(0, at) : rest
  const as = isRenamed ? { as: formatReference(parseReference(rest.slice(at + 1))) } : {}
  if (transport === 'docker-daemon') {
    const name = formatReference(parseReference(from))
    return { image: as.as ?? name, source: { transport, path: '', image: name, ...as } }
  }
  const colon = from.indexOf(':')
  const [path, image] = colon < 0 ? [from] : [from.slice(0, colon), from.slice(colon + 1)]
  if (path === '') throw new CloudimgError('USAGE', `reading "${text}": it names no file`)
  const source = { transport, path, ...(image === undefined ? {} : { image }), ...as }
  return { image: as.as ?? (image === undefined ? text : formatReference(parseReference(image))), source }
}
