import { CloudimgError } from '../../core/error.ts'
import { formatPlatform, type Platform, samePlatform } from '../../core/platform.ts'
import { familiarReference, type Reference } from '../../core/reference.ts'
import type { DeployImage } from '../../deploy/deploy-image.ts'
import { openDeployImage } from '../../deploy/store-image.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import type { Gap } from '../../prove/gaps.ts'
import { type PlatformProof, type Proof, proveImage } from '../../prove/prove-bundle.ts'
import { describeAsker } from '../../workload/image-request.ts'
import { helmRenderer } from '../../workload/render-chart.ts'
import { bringImage } from '../bring-image.ts'
import type { Session } from '../session.ts'
import { formatTable } from '../table.ts'

/** `cloudimg prove REF`: exit code 0 where nothing is missing on hosts without any way out, else 1. */
export async function prove(session: Session, reference: string, platform: Platform | undefined): Promise<number> {
  const { ref, descriptor } = await bringImage(session, reference, false)
  const image = await openDeployImage(await session.store(), ref, descriptor, session.ctx)
  const proof = await proveImage(onlyFor(image, platform), helmRenderer(), session.ctx)
  session.answer(proof, () => formatProof(proof))
  return proof.proven ? 0 : 1
}

/** For `build --prove`. @throws IMAGE_UNRESOLVED with all that is missing. */
export async function requireProof(session: Session, ref: Reference, index: Descriptor): Promise<void> {
  const image = await openDeployImage(await session.store(), ref, index, session.ctx)
  const proof = await proveImage(image, helmRenderer(), session.ctx)
  if (proof.proven) return
  const gaps = proof.platforms.reduce((sum, platform) => sum + platform.gaps.length, 0)
  throw new CloudimgError(
    'IMAGE_UNRESOLVED',
    `building "${familiarReference(ref)}": it is not proven\n${formatProof(proof)}`,
    {
      hint: 'bring along what is missing, or build without --prove; no name was given to the image',
      data: { gaps },
    },
  )
}

function onlyFor(image: DeployImage, platform: Platform | undefined): DeployImage {
  if (platform === undefined) return image
  const platforms = image.platforms.filter(candidate => samePlatform(candidate.platform, platform))
  if (platforms.length > 0) return { ...image, platforms }
  const found = image.platforms.map(candidate => formatPlatform(candidate.platform)).join(', ')
  throw new CloudimgError(
    'PLATFORM_MISSING',
    `proving "${image.reference}": no ${formatPlatform(platform)} in it, found ${found}`,
  )
}

export function formatProof({ platforms }: Pick<Proof, 'platforms'>): string {
  return platforms.map(formatPlatformProof).join('\n\n')
}

function formatPlatformProof({ platform, proven, gaps, doubts, checked }: PlatformProof): string {
  const { images, blobs, files, scripts, programs } = checked
  const counts = `${images} container images (${blobs} blobs), ${files} files, ${scripts} scripts, ${programs} programs`
  const verdict = proven
    ? `${platform}: proven`
    : `${platform}: not proven, ${gaps.length} ${gaps.length === 1 ? 'gap' : 'gaps'}`
  const parts = [`${verdict} (looked at ${counts})`]
  if (gaps.length > 0) parts.push(formatTable(['KIND', 'WHAT', 'ASKED FOR BY', 'WHY'], gaps.flatMap(gapRows)))
  if (doubts.length > 0)
    parts.push(
      `For a person to judge:\n${formatTable(
        ['PLACE', 'WHAT'],
        doubts.map(doubt => [placeText(doubt), doubt.message]),
      )}`,
    )
  return parts.join('\n\n')
}

function gapRows({ kind, what, why, askedBy }: Gap): readonly (readonly string[])[] {
  const [first, ...others] = askedBy.map(placeText)
  return [[kind, what, first ?? '-', why], ...others.map(place => ['', '', place, ''])]
}

function placeText(place: Gap['askedBy'][number]): string {
  return place.line === 0 ? [place.file, place.field].filter(part => part !== '').join(' ') : describeAsker(place)
}
