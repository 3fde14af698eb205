import { compareBytes } from '../../io/files.ts'
import { mediaTypes } from '../descriptor.ts'
import { Refusal, sendJson } from './answer.ts'
import { type Exchange, isHead, refuseMethod, served, wantDigest } from './exchange.ts'

export async function answerTags(exchange: Exchange, repository: string): Promise<void> {
  wantRead(exchange)
  const n = exchange.url.searchParams.get('n')
  if (n !== null && !isCount(n)) throw refuseCount(n)
  const tags = await exchange.store.tags(served(exchange, repository), exchange.ctx)
  if (tags.length === 0) throw new Refusal(404, 'NAME_UNKNOWN', `no repository "${repository}" here`)
  const { page, link } = paged(
    exchange.url,
    [...tags].sort(compareTags),
    compareTags,
    n === null ? undefined : Number(n),
  )
  sendJson(exchange.response, 200, { name: repository, tags: page }, link, isHead(exchange))
}

/** Case-insensitive, as distribution-spec 1.1 orders tags; those that differ by case alone in byte order. */
export function compareTags(a: string, b: string): number {
  return compareBytes(a.toLowerCase(), b.toLowerCase()) || compareBytes(a, b)
}

/** As distribution does it: a page of 100 where `n` is not a number, no more than 1000 in one. */
export async function answerCatalog(exchange: Exchange): Promise<void> {
  wantRead(exchange)
  const n = exchange.url.searchParams.get('n') ?? ''
  if (isCount(n) && Number(n) > 1000) throw refuseCount(n)
  const names = await exchange.store.repositories(exchange.host, exchange.ctx)
  const { page, link } = paged(exchange.url, names, compareBytes, isCount(n) ? Number(n) : 100)
  sendJson(exchange.response, 200, { repositories: page }, link, isHead(exchange))
}

export async function answerReferrers(exchange: Exchange, repository: string, digest: string): Promise<void> {
  wantRead(exchange)
  const { store, ctx, url } = exchange
  const all = await store.referrers(wantDigest(digest), ctx)
  const deleted = await Promise.all(all.map(entry => store.isDeleted(served(exchange, repository), entry.digest, ctx)))
  const here = all.filter((_, i) => deleted[i] !== true)
  const wanted = url.searchParams.get('artifactType')
  const manifests = wanted === null ? here : here.filter(entry => entry.artifactType === wanted)
  const headers = {
    'content-type': mediaTypes.index,
    ...(wanted === null ? {} : { 'oci-filters-applied': 'artifactType' }),
  }
  const index = { schemaVersion: 2, mediaType: mediaTypes.index, manifests }
  sendJson(exchange.response, 200, index, headers, isHead(exchange))
}

function wantRead(exchange: Exchange): void {
  if (exchange.request.method !== 'GET' && !isHead(exchange)) throw refuseMethod('GET, HEAD')
}

function isCount(text: string): boolean {
  return /^\d{1,9}$/.test(text)
}

function refuseCount(n: string): Refusal {
  return new Refusal(400, 'PAGINATION_NUMBER_INVALID', `"${n}" is no number of entries that is given at once`)
}

// `n` and `last`, and a Link to what follows (distribution-spec 1.1, "Listing Tags").
function paged(
  url: URL,
  names: readonly string[],
  compare: (a: string, b: string) => number,
  most: number | undefined,
): { readonly page: readonly string[]; readonly link: Readonly<Record<string, string>> } {
  const last = url.searchParams.get('last')
  const rest = last === null ? names : names.filter(name => compare(name, last) > 0)
  if (most === undefined || rest.length <= most) return { page: rest, link: {} }
  const page = rest.slice(0, most)
  const end = page.at(-1)
  if (end === undefined) return { page, link: {} }
  return { page, link: { link: `<${url.pathname}?n=${most}&last=${encodeURIComponent(end)}>; rel="next"` } }
}
