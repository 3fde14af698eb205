import { compareBytes } from '../../io/files.ts'
import { mediaTypes } from '../descriptor.ts'
import { Refusal, sendJson } from './answer.ts'
import { type Exchange, isHead, refuseMethod, served, wantDigest } from './exchange.ts'

export async function answerTags(exchange: Exchange, repository: string): Promise<void> {
  wantRead(exchange)
  const tags = await exchange.store.tags(served(exchange, repository), exchange.ctx)
  if (tags.length === 0) throw new Refusal(404, 'NAME_UNKNOWN', `no repository "${repository}" here`)
  const { page, link } = paged(exchange, tags)
  sendJson(exchange.response, 200, { name: repository, tags: page }, link, isHead(exchange))
}

export async function answerCatalog(exchange: Exchange): Promise<void> {
  wantRead(exchange)
  const { page, link } = paged(exchange, await exchange.store.repositories(exchange.host, exchange.ctx))
  sendJson(exchange.response, 200, { repositories: page }, link, isHead(exchange))
}

export async function answerReferrers(exchange: Exchange, digest: string): Promise<void> {
  wantRead(exchange)
  const all = await exchange.store.referrers(wantDigest(digest), exchange.ctx)
  const wanted = exchange.url.searchParams.get('artifactType')
  const manifests = wanted === null ? all : all.filter(entry => entry.artifactType === wanted)
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

// `n` and `last`, and a Link to what follows (distribution-spec 1.1, "Listing Tags").
function paged(
  { url }: Exchange,
  names: readonly string[],
): { readonly page: readonly string[]; readonly link: Readonly<Record<string, string>> } {
  const last = url.searchParams.get('last')
  const rest = last === null ? names : names.filter(name => compareBytes(name, last) > 0)
  const n = url.searchParams.get('n')
  if (n === null || !/^\d{1,9}$/.test(n) || rest.length <= Number(n)) return { page: rest, link: {} }
  const page = rest.slice(0, Number(n))
  const end = page.at(-1)
  if (end === undefined) return { page, link: {} }
  return { page, link: { link: `<${url.pathname}?n=${n}&last=${encodeURIComponent(end)}>; rel="next"` } }
}
