import type { Context } from '../../core/context.ts'
import { CloudimgError } from '../../core/error.ts'
import { type Challenge, parseChallenges } from './challenge.ts'
import { basicHeader, type Credential, type Credentials } from './credential.ts'
import type { Endpoint } from './endpoint.ts'
import { checkRealm } from './realm.ts'
import { fetchToken, type Token } from './token.ts'

/** What a request needs to be allowed: a repository, and what is done there. */
export interface Access {
  readonly repository: string
  readonly actions: 'pull' | 'pull,push' | 'pull,push,delete'
}

interface CachedToken {
  readonly token: Promise<Token>
  /** By `Date.now()`: when it was asked for. */
  readonly asked: number
}

/** A registry's way of authentication, and the tokens it gave: one for each set of scopes, asked for once at a time. */
export class Authorizer {
  readonly #endpoint: Endpoint
  readonly #credentials: Credentials
  readonly #tokens = new Map<string, CachedToken>()
  #challenge: Challenge | undefined

  constructor(endpoint: Endpoint, credentials: Credentials) {
    this.#endpoint = endpoint
    this.#credentials = credentials
    if (endpoint.challenge !== undefined) this.#challenge = chooseChallenge(endpoint.challenge, endpoint)
  }

  /** The Authorization header; undefined where the registry asks for none. `refused` is the header that did not do. */
  async header(access: readonly Access[], ctx: Context, refused?: string): Promise<string | undefined> {
    const challenge = this.#challenge
    if (challenge === undefined) return undefined
    const credential = await this.#credentials.find(this.#endpoint.registry, access[0]?.repository ?? '', ctx)
    if (challenge.scheme === 'basic')
      return credential?.kind === 'basic' ? basicHeader(credential.username, credential.password) : undefined
    if (credential?.kind === 'registry-token') return `Bearer ${credential.token}`
    const scopes = access.map(({ repository, actions }) => `repository:${repository}:${actions}`).sort()
    return `Bearer ${await this.#token(challenge, scopes, credential, ctx, refused)}`
  }

  /** Takes in what a 401 says; true where another try with a new header makes sense. */
  learn(header: string | undefined): boolean {
    if (header === undefined) return this.#challenge !== undefined
    this.#challenge = chooseChallenge(header, this.#endpoint)
    return true
  }

  async #token(
    challenge: Challenge,
    scopes: readonly string[],
    credential: Credential | undefined,
    ctx: Context,
    refused: string | undefined,
  ): Promise<string> {
    const key = JSON.stringify([challenge.parameters.realm, challenge.parameters.service, scopes, credential])
    const cached = this.#tokens.get(key)
    if (cached !== undefined) {
      const token = await cached.token
      if (isFresh(token, cached.asked) && `Bearer ${token.value}` !== refused) return token.value
      // Whoever waited for the same stale token may have asked for a new one meanwhile.
      const newer = this.#tokens.get(key)
      if (newer !== undefined && newer !== cached) return (await newer.token).value
    }
    const realm = checkRealm(challenge.parameters.realm ?? '', this.#endpoint)
    const { service } = challenge.parameters
    const asking = fetchToken({ realm, service, scopes, credential }, this.#endpoint, ctx)
    const entry = { token: asking, asked: Date.now() }
    this.#tokens.set(key, entry)
    try {
      return (await asking).value
    } catch (error) {
      if (this.#tokens.get(key) === entry) this.#tokens.delete(key)
      throw error
    }
  }
}

// Ten seconds, or half of a short life, are kept back: a token must not expire between here and the registry.
function isFresh(token: Token, asked: number): boolean {
  return Date.now() < asked + token.lifeMs - Math.min(10_000, token.lifeMs / 2)
}

function chooseChallenge(header: string, endpoint: Endpoint): Challenge {
  const challenges = parseChallenges(header)
  const chosen =
    challenges.find(({ scheme, parameters }) => scheme === 'bearer' && parameters.realm !== undefined) ??
    challenges.find(({ scheme }) => scheme === 'basic')
  if (chosen !== undefined) return chosen
  const offered = challenges.map(({ scheme }) => `"${scheme}"`).join(', ') || 'nothing readable'
  throw new CloudimgError(
    'REGISTRY_AUTH',
    `authenticating to "${endpoint.registry}": it offers ${offered}, cloudimg knows Basic and Bearer`,
  )
}
