import type { Context } from '../../core/context.ts'
import { GiB } from '../../core/bytes.ts'
import { isCloudimgError, reasonOf } from '../../core/error.ts'
import { gatherFacts, type HostFacts } from '../../host/facts.ts'
import type { ReadonlyHost } from '../../host/host.ts'
import type { Member, Registry, Runtime } from '../../runtime/runtime.ts'
import { readNodeRecord } from '../cluster-id.ts'
import { daysLeft, leavesOf } from '../../runtime/certificates.ts'
import { isReservedKey } from '../../runtime/k3s/reserved-keys.ts'
import { missingImages } from '../missing-images.ts'
import { pullsImages } from '../registry/pulled-images.ts'
import { openInstalledRootfs } from '../rootfs.ts'

/** What a machine itself tells of a node; the cluster's own view of it is a `Member`. */
export interface NodeInspection {
  readonly version: string | undefined
  /** Of the certificate that ends first; undefined where there is none. */
  readonly certificateDays: number | undefined
  readonly freeBytes: number | undefined
  readonly clockOffsetSeconds: number
  readonly missingImages: readonly string[]
  /** Undefined where cloudimg did not write its registries.yaml. */
  readonly registry: Registry | undefined
  /** Undefined where there is none to run. */
  readonly servesImages: boolean | undefined
  /** Files that cloudimg placed, configuration included, and that are other ones now, or gone. */
  readonly drift: readonly string[]
  /** `FILE: KEY` below config.yaml.d, of keys that are cloudimg's to set. */
  readonly overruled: readonly string[]
  /** A unit that does not start when the machine does. */
  readonly disabled: string | undefined
}

/** A certificate that has fewer days left is a trouble: k3s renews it at any start in the two months before. */
const certificateDays = 30

// The list is one that sha256sum reads; what is as it was is left out.
const driftScript = `[ -f /var/lib/cloudimg/owned ] || exit 0
sha256sum -c /var/lib/cloudimg/owned 2>/dev/null | sed -n 's/: FAILED.*$//p'; exit 0`

/** Looks at one machine. Changes nothing. */
export async function inspectNode(
  host: ReadonlyHost,
  runtime: Runtime,
  now: () => number,
  ctx: Context,
): Promise<NodeInspection> {
  const facts = await gatherFacts(host, now, ctx)
  const { platform, images, ownImages } = await openInstalledRootfs(facts, host, ctx)
  const role = readNodeRecord(facts)?.role ?? 'agent'
  const registry = runtime.registry(facts)
  const pulls = registry !== undefined && pullsImages(registry, role, platform.metadata.collected ?? [])
  const days = leavesOf(await runtime.certificates(host, ctx)).map(certificate => daysLeft(certificate, now()))
  const { stdout } = await host.look(['sh', '-c', driftScript, 'drift'], ctx)
  return {
    version: platform.metadata.version,
    certificateDays: days.length === 0 ? undefined : Math.min(...days),
    freeBytes: facts.disks.find(disk => disk.path === '/var/lib/rancher')?.freeBytes,
    clockOffsetSeconds: facts.clockOffsetSeconds,
    missingImages: isRunning(facts) ? missingImages(pulls ? ownImages : images, await runtime.images(host, ctx)) : [],
    registry,
    servesImages:
      registry?.mode === 'managed' && role === 'server' ? facts.k3s.registryUnit.active === 'active' : undefined,
    drift: stdout.split('\n').filter(path => path !== ''),
    overruled: facts.k3s.dropIns.filter(entry => isReservedKey(entry.replace(/^.*: /, ''))),
    disabled: disabledUnit(facts),
  }
}

function isRunning({ k3s }: HostFacts): boolean {
  return Object.values(k3s.units).some(unit => unit.active === 'active')
}

function disabledUnit({ k3s }: HostFacts): string | undefined {
  return Object.entries(k3s.units).find(([, unit]) => unit.active === 'active' && unit.enabled !== 'enabled')?.[0]
}

/** Everything about a node that is not as it should be, in words; empty where all is well. */
export function troublesOf(member: Member, seen: NodeInspection | string): readonly string[] {
  const own = member.ready ? [] : [`not Ready: ${member.reason}`]
  if (typeof seen === 'string') return [...own, seen]
  const { certificateDays: days, freeBytes, clockOffsetSeconds, version, drift, overruled, disabled } = seen
  const checks: readonly (readonly [boolean, string])[] = [
    [version !== undefined && member.version !== version, `runs ${member.version}, its image is ${version}`],
    [member.voter === false, 'is no etcd voter'],
    [
      days !== undefined && days < certificateDays,
      days !== undefined && days < 0
        ? 'a certificate has ended: cloudimg cert renew'
        : `a certificate ends in ${days} days: cloudimg cert renew`,
    ],
    [freeBytes !== undefined && freeBytes < GiB, 'less than 1 GiB free below /var/lib/rancher'],
    [Math.abs(clockOffsetSeconds) > 2, `its clock is ${clockOffsetSeconds} s off`],
    [seen.servesImages === false, 'its registry does not run: journalctl -u cloudimg-registry'],
    [seen.missingImages.length > 0, `${seen.missingImages.length} images are missing: cloudimg import brings them`],
    [drift.length > 0, `changed by others: ${drift.join(', ')}`],
    [overruled.length > 0, `config.yaml.d overrules what cloudimg sets: ${overruled.join(', ')}`],
    [disabled !== undefined, `${disabled} does not start when the machine does: systemctl enable ${disabled}`],
  ]
  return [...own, ...checks.flatMap(([is, text]) => (is ? [text] : []))]
}

/** The reason in a line, for a machine that cannot be looked at. */
export function unseen(error: unknown): string {
  if (isCloudimgError(error, 'CANCELLED')) throw error
  return reasonOf(error).split('\n', 1)[0] ?? ''
}
