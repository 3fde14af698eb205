import { profileOf, type Profile } from './profile.ts'

/** Baked in by the bundler (`test/support/build-standin.ts`). */
declare const STANDIN_VERSION: string

/** As the tag says it: `v1.31.4+k3s1`. */
export const version: string = STANDIN_VERSION

/** The two lines that every k3s prints; the second is where this one owns up. */
export const versionText = `k3s version ${version} (standin0)\ngo version go1.22.9 stand-in\n`

/** What this stand-in's version can and cannot do. */
export const profile: Profile = profileOf(version)
