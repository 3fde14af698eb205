import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseAllDocuments } from 'yaml'
import { CloudimgError } from '../core/error.ts'
import { formatReference, parseReference } from '../core/reference.ts'
import type { ImageRequest } from './image-request.ts'

const containerLists = new Set(['containers', 'initContainers', 'ephemeralContainers'])

/**
 * The images of every container in a file of Kubernetes manifests: `image:` below `containers`, `initContainers` and
 * `ephemeralContainers`, at any depth, so that every pod-bearing kind and every List is covered.
 * @throws CONTEXT_INVALID where the text is no YAML: what cannot be read cannot be called complete.
 */
export function findManifestImages(text: string, file: string): readonly ImageRequest[] {
  const lines = new LineCounter()
  const documents = parseAllDocuments(text, { lineCounter: lines, logLevel: 'silent', uniqueKeys: false })
  if (!Array.isArray(documents)) return []
  return documents.flatMap(document => {
    const [problem] = document.errors
    if (problem !== undefined) {
      throw new CloudimgError('CONTEXT_INVALID', `reading "${file}": ${problem.message.split('\n')[0]}`, {
        hint: 'mend the file, or leave it out of manifests/',
      })
    }
    const found: ImageRequest[] = []
    const visit = (node: unknown): void => {
      if (isMap(node)) {
        for (const { key, value } of node.items) {
          if (isScalar(key) && containerLists.has(String(key.value)) && isSeq(value)) value.items.forEach(addContainer)
          visit(value)
        }
      } else if (isSeq(node)) node.items.forEach(visit)
      else if (isAlias(node)) visit(node.resolve(document))
    }
    const addContainer = (container: unknown): void => {
      if (!isMap(container)) return
      const image = container.get('image', true) as Node | undefined
      if (!isScalar(image) || typeof image.value !== 'string' || image.value === '') return
      const line = lines.linePos(image.range?.[0] ?? 0).line
      found.push({ image: named(image.value, file, line), file, line, field: 'image' })
    }
    visit(document.contents)
    return found
  })
}

function named(image: string, file: string, line: number): string {
  try {
    return formatReference(parseReference(image))
  } catch (error) {
    throw new CloudimgError('CONTEXT_INVALID', `reading "${file}:${line}": "${image}" is no image reference`, {
      cause: error,
      hint: 'render templates before the build, or leave the file out of manifests/',
    })
  }
}
