export interface VersionNumbers {
  readonly minor: number
  readonly patch: number
}

export function parseVersion(tag: string): VersionNumbers {
  const match = /^v1\.(\d+)\.(\d+)(?:-rc\d+)?\+k3s\d+$/.exec(tag)
  if (match === null) throw new Error(`version "${tag}" is no k3s version`)
  return { minor: Number(match[1]), patch: Number(match[2]) }
}

/**
 * True from the first release that has a feature. Features reach several minors at once, so a gate lists the first patch of each
 * (`1.29.12 1.30.8 1.31.4`); every later minor has it, every earlier one never gets it.
 */
export function atLeast(gate: string, tag: string): boolean {
  const { minor, patch } = parseVersion(tag)
  const firsts = gate.split(' ').map(text => text.split('.').map(Number))
  const same = firsts.find(([, gateMinor]) => gateMinor === minor)
  if (same !== undefined) return patch >= (same[2] ?? 0)
  return minor > Math.max(...firsts.map(([, gateMinor]) => gateMinor ?? 0))
}

/** What differs between versions and matters to a deployer; each with the place that says so. */
export interface Profile {
  /** `k3s server` skips keys it does not know instead of stopping. (facts/k3s.md §6.1; DEPLOY.md: v1.21 and v1.25 stop. The first release is not known.) */
  readonly serverSkipsUnknownKeys: boolean
  /**
   * A server on SQLite does not start with another token than its data were made with. (facts/k3s.md §10 no. 19; v1.21.2 was seen to
   * start. The first release is not known.)
   */
  readonly sqliteKeepsToken: boolean
  /** Imported images are pinned. (facts/k3s.md §4.3) */
  readonly pinsImages: boolean
  /** Mirrors are written as hosts.toml. (facts/k3s.md §5.2) */
  readonly writesHostsFiles: boolean
  /** agent/images is watched while k3s runs. (facts/k3s.md §4.2) */
  readonly watchesImages: boolean
  /** `ctr images import` decompresses. (facts/k3s.md §4.4) */
  readonly containerd2: boolean
  /** Nodes report `EtcdIsVoter`. (DEPLOY.md: v1.21 and v1.25 do not. The first release is not known.) */
  readonly reportsVoter: boolean
  /** k3s retries where another learner is being promoted, instead of exiting. (facts/k3s.md §7.1) */
  readonly retriesLearner: boolean
  /** Blobs that an index names and the archive lacks are tolerated. (facts/k3s.md §4.1) */
  readonly toleratesMissingPlatforms: boolean
  /** The agent says READY to systemd. (facts/k3s-observed.md 10: v1.21 does not; facts/k3s.md §3.2: now it does. The first release is not known.) */
  readonly agentNotifies: boolean
  /** A start renews certificates that have fewer days left. (facts/k3s.md §0, May 2025; §7.6) */
  readonly renewalDays: number
  /** There is `k3s certificate rotate`. (k3s' pull request 4632: in December 2021 on all branches; v1.21.2 has none.) */
  readonly rotatesCertificates: boolean
  /** There is `k3s certificate check`. (facts/k3s.md §7.6. The first release is not known.) */
  readonly checksCertificates: boolean
}

export function profileOf(tag: string): Profile {
  return {
    serverSkipsUnknownKeys: atLeast('1.26.0', tag),
    sqliteKeepsToken: atLeast('1.22.0', tag),
    pinsImages: atLeast('1.26.13 1.27.10 1.28.6 1.29.1', tag),
    writesHostsFiles: atLeast('1.26.13 1.27.10 1.28.6 1.29.1', tag),
    watchesImages: atLeast('1.29.13 1.30.9 1.31.5 1.32.0', tag),
    containerd2: atLeast('1.31.6 1.32.2', tag),
    reportsVoter: atLeast('1.26.0', tag),
    retriesLearner: atLeast('1.24.14 1.25.10 1.26.5 1.27.2', tag),
    toleratesMissingPlatforms: atLeast('1.27.15 1.28.11 1.29.6 1.30.2', tag),
    agentNotifies: atLeast('1.22.0', tag),
    renewalDays: atLeast('1.30.13 1.31.9 1.32.5 1.33.1', tag) ? 120 : 90,
    rotatesCertificates: atLeast('1.21.8 1.22.5 1.23.1', tag),
    checksCertificates: atLeast('1.30.0', tag),
  }
}
