import type { Context } from '../core/context.ts'
import { CloudimgError } from '../core/error.ts'
import { familiarReference, type Reference } from '../core/reference.ts'
import type { ImageSource } from '../oci/ends.ts'
import { systemCredentials } from '../oci/remote/credentials.ts'
import { mirroredSource } from '../oci/remote/mirrored.ts'
import { readRegistriesConf } from '../oci/remote/registries-conf.ts'
import { type Place, readPlaces, ruleFor, writePlace } from '../oci/remote/registry-rules.ts'
import { type RemoteRepository, remoteRepository } from '../oci/remote/registry.ts'
import { readConfigFile } from './config-file.ts'
import type { Session } from './session.ts'

/** Registries as this user has configured them: mirrors, insecure ones, credentials. */
export interface RemoteAccess {
  /** To read from: mirrors come first. */
  source(ref: Reference): ImageSource
  /** The registry itself: to write to, to list, to delete. */
  repository(ref: Reference): RemoteRepository
  /** Whether plain http and unverified certificates are taken there. */
  isInsecure(registry: string): boolean
}

// A dead mirror should not hold up what the registry behind it can give.
const mirrorRetry = { attempts: 2, delayMs: 200 }

/** `insecure` is the command line's word for every registry that the command speaks to. */
export async function remoteAccess(session: Session, insecure = false): Promise<RemoteAccess> {
  const rules = await readRules(session.terminal.env, session.ctx)
  const credentials = systemCredentials()
  const open = (place: Place, options: object = {}): RemoteRepository =>
    remoteRepository(place.ref, { credentials, insecure: insecure || place.insecure, ...options })
  const refuseBlocked = (ref: Reference): void => {
    if (ruleFor(rules, ref)?.blocked !== true) return
    throw new CloudimgError('REGISTRY_DENIED', `contacting "${familiarReference(ref)}": registries.conf blocks it`)
  }
  return {
    source: ref => {
      refuseBlocked(ref)
      const places = readPlaces(rules, ref)
      const origin = open(places.at(-1)!)
      const mirrors = places.slice(0, -1).map(place => open(place, { retry: mirrorRetry }))
      return mirrors.length === 0 ? origin : mirroredSource(mirrors, origin)
    },
    repository: ref => {
      refuseBlocked(ref)
      return open(writePlace(rules, ref))
    },
    isInsecure: registry => insecure || ruleFor(rules, { registry, repository: '' })?.insecure === true,
  }
}

async function readRules(env: NodeJS.ProcessEnv, ctx: Context) {
  return [...(await readConfigFile(env)).registries, ...(await readRegistriesConf(env, ctx))]
}
