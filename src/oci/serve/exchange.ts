import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Context } from '../../core/context.ts'
import { type Digest, isDigest } from '../../core/digest.ts'
import { Refusal } from './answer.ts'
import type { ServedName, ServeStore } from './serve-store.ts'

/** One request under way, with what its handler needs. */
export interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly url: URL
  readonly store: ServeStore
  readonly host: string
  readonly readOnly: boolean
  readonly ctx: Context
}

export function served(exchange: Exchange, repository: string): ServedName {
  return { host: exchange.host, repository }
}

export function isHead(exchange: Exchange): boolean {
  return exchange.request.method === 'HEAD'
}

/** The size of what the repository has by that digest; undefined where the store lacks it or it was deleted here. */
export async function sizeHere(exchange: Exchange, repository: string, digest: Digest): Promise<number | undefined> {
  const { store, ctx } = exchange
  if (await store.isDeleted(served(exchange, repository), digest, ctx)) return undefined
  return await store.sizeOf(digest, ctx)
}

/** What was pushed or mounted is here again. */
export async function bringBack(exchange: Exchange, repository: string, digest: Digest): Promise<void> {
  await exchange.store.setDeleted(served(exchange, repository), digest, false, exchange.ctx)
}

/** @throws Refusal DIGEST_INVALID for anything but sha256. */
export function wantDigest(text: string | null): Digest {
  if (text === null || !isDigest(text)) throw new Refusal(400, 'DIGEST_INVALID', 'not a sha256 digest')
  return text
}

export function refuseWrites(exchange: Exchange): void {
  if (exchange.readOnly) throw new Refusal(405, 'UNSUPPORTED', 'this registry is read-only', { allow: 'GET, HEAD' })
}

export function refuseMethod(allowed: string): Refusal {
  return new Refusal(405, 'UNSUPPORTED', 'not a method of this resource', { allow: allowed })
}
