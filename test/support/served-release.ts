import { digestOf } from '../../src/core/digest.ts'
import { mediaTypes } from '../../src/oci/descriptor.ts'
import { formatLayoutList, type LaidImage, layoutBlobPath } from '../../src/workload/image-layout.ts'
import type { Release } from './installer-sandbox.ts'

/** For the sandbox: somebody listens where the registry would, which is a shim there. */
export const listening = `node -e 'require("node:net").createServer().listen(5443)' & sleep 0.5`

/** A rootfs for the sandbox with a registry's program and images; `images` are their contents by name. */
export function servedRelease(version: string, images: Readonly<Record<string, string>>): Release {
  const blobs: Record<string, string> = {}
  const laid = Object.entries(images).map(([name, content]): LaidImage => {
    const texts = [`config of ${content}`, `layer of ${content}`, `manifest of ${content}`]
    const [config, layer, manifest] = texts.map(text => digestOf(text))
    for (const text of texts) blobs[layoutBlobPath(digestOf(text))] = text
    return {
      name,
      manifest: { mediaType: mediaTypes.manifest, digest: manifest!, size: texts[2]!.length },
      blobs: [config!, layer!],
    }
  })
  const list = formatLayoutList(laid).toString()
  return { version, extra: { 'bin/registry': '#!/bin/sh\n', 'images/oci/images.txt': list, ...blobs } }
}
