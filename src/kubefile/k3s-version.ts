const release = /^v\d+\.\d+\.\d+(?:-rc\d+)?\+k3s\d+$/
const nearly = /^v?(\d+\.\d+\.\d+(?:-rc\d+)?)(?:[+-](k3s\d+))?$/

export interface WrongVersion {
  readonly message: string
  readonly hint: string
  /** The release, where only its writing is wrong. */
  readonly meant?: string
}

/** Why text that means a k3s release is none, with the release it most likely means; undefined for releases and channels. */
export function explainK3sVersion(version: string): WrongVersion | undefined {
  if (release.test(version) || !/^v?\d+\.\d+\.\d+/.test(version)) return undefined
  const match = nearly.exec(version)
  const message = `"${version}" is no k3s release; releases are named like v1.31.4+k3s1`
  if (match === null) return { message, hint: 'write a release such as v1.31.4+k3s1, or a channel such as stable' }
  const meant = `v${match[1]}+${match[2] ?? 'k3s1'}`
  return { message, hint: `write ${meant}`, ...(match[2] === undefined ? {} : { meant }) }
}
