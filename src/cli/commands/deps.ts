import type { Platform } from '../../core/platform.ts'
import { statIfPresent } from '../../io/files.ts'
import { imageFor } from '../../oci/document.ts'
import { directoryTree } from '../../workload/directory-tree.ts'
import { discoverImages } from '../../workload/discover-images.ts'
import type { Discovery } from '../../workload/discovery.ts'
import { describeAsker } from '../../workload/image-request.ts'
import { imageTree } from '../../workload/image-tree.ts'
import { helmRenderer } from '../../workload/render-chart.ts'
import type { WorkloadTree } from '../../workload/workload-tree.ts'
import { bringImage } from '../bring-image.ts'
import type { Session } from '../session.ts'
import { formatTable } from '../table.ts'

/** `cloudimg deps DIR|REF`: which container images a rootfs asks for, and who asks. */
export async function deps(session: Session, subject: string, platform: Platform): Promise<void> {
  const tree = await openTree(session, subject, platform)
  const found = await discoverImages(tree, { render: helmRenderer() }, session.ctx)
  const { requests: images, ...rest } = found
  session.answer({ images, ...rest }, () => describe(found))
}

async function openTree(session: Session, subject: string, platform: Platform): Promise<WorkloadTree> {
  if ((await statIfPresent(subject))?.isDirectory() === true) return await directoryTree(subject)
  const { descriptor } = await bringImage(session, subject, false)
  const store = await session.store()
  const { manifest } = await imageFor(store, descriptor, platform, session.ctx)
  return await imageTree(store, manifest.layers, session.ctx)
}

function describe({ requests, guesses, unreadable, charts }: Discovery): string {
  const parts = [
    requests.length === 0
      ? 'no container images'
      : formatTable(
          ['IMAGE', 'ASKED FOR BY'],
          requests.map(request => [request.image, describeAsker(request)]),
        ),
  ]
  if (guesses.length > 0) {
    const rows = guesses.map(({ text, why, ...place }) => [text, why, describeAsker(place)])
    parts.push(
      `These may be images; name those that are needed in manifests/imageList:\n${formatTable(['GUESS', 'WHY', 'FOUND AT'], rows)}`,
    )
  }
  if (unreadable.length > 0) {
    const rows = unreadable.map(({ file, line, why }) => [`${file}:${line}`, why])
    parts.push(`These could not be read:\n${formatTable(['PLACE', 'WHY'], rows)}`)
  }
  if (charts.length > 0) {
    const rows = charts.map(({ chart, by }) => [chart, by === 'helm' ? 'rendered with helm' : 'by its values'])
    parts.push(formatTable(['CHART', 'READ'], rows))
  }
  return parts.join('\n\n')
}
