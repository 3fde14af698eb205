import { hexOf } from '../../core/digest.ts'
import { CloudimgError } from '../../core/error.ts'
import type { Context } from '../../core/context.ts'
import type { HttpClient } from '../../host/facts.ts'
import type { Host, ReadonlyHost, UploadFile } from '../../host/host.ts'
import { temporaryOf } from '../../host/upload.ts'
import type { Endpoint } from './endpoint.ts'

export type FetchedFile = Pick<UploadFile, 'to' | 'mode' | 'digest' | 'size'>

const digestDiffers = 46

// stdin: the URL. $1 client, $2 temp file, $3 target, $4 mode, $5 sha256, $6 seconds, $7 size. The temp file is the one that an
// upload would go on with; curl goes on with it, too. A peer that sends too much is not written down beyond that size's block.
const fetchScript = `set -e; umask 077; client=$1 part=$2 to=$3 mode=$4 sum=$5 life=$6 size=$7
IFS= read -r url
mkdir -p -m 0755 "$(dirname "$to")"
ulimit -f $((size / 512 + 1))
[ "$(wc -c < "$part" 2>/dev/null || echo 0)" -lt "$size" ] || rm -f "$part"
with_curl() { printf 'url = "%s"\\n' "$url" | curl -q -K - -g -s -S -f --noproxy '*' --connect-timeout 5 --max-time "$life" "$@" -o "$part"; }
case $client in
curl)
  code=0; with_curl -C - || code=$?
  if [ $code = 33 ] || [ $code = 36 ]; then rm -f "$part"; code=0; with_curl || code=$?; fi ;;
wget) rm -f "$part"; code=0; printf '%s\\n' "$url" | timeout "$life" wget -q --no-config --no-proxy -t 1 -T 10 -O "$part" -i - || code=$? ;;
esac
[ $code = 0 ] || { echo "$client: exit code $code" >&2; exit 1; }
[ "$(sha256sum < "$part" | cut -d ' ' -f 1)" = "$sum" ] || { rm -f "$part"; exit ${digestDiffers}; }
chmod "$mode" "$part"; sync "$part" 2>/dev/null || sync; mv -f "$part" "$to"; sync "$(dirname "$to")" 2>/dev/null || sync`

/** Takes a file from a peer, and believes no byte of it. @throws DIGEST_MISMATCH; COMMAND_FAILED where it did not come in time. */
export async function fetchFile(
  host: Host,
  file: FetchedFile,
  from: Endpoint & { readonly client: HttpClient; readonly seconds: number },
  ctx: Context,
): Promise<void> {
  const { to, mode, digest, size } = file
  const args = [from.client, temporaryOf(file), to, mode.toString(8), hexOf(digest), String(from.seconds), String(size)]
  const url = `${from.url}/${hexOf(digest)}`
  const argv = ['sh', '-c', fetchScript, 'fanout-fetch', ...args]
  const result = await host.exec(argv, { input: `${url}\n`, secrets: [url, from.url], check: false }, ctx)
  if (result.code === 0) return
  if (result.code === digestDiffers)
    throw new CloudimgError('DIGEST_MISMATCH', `fetching "${to}" on "${host.name}": other bytes than ${digest} came`)
  throw new CloudimgError('COMMAND_FAILED', `fetching "${to}" on "${host.name}": ${result.stderr.trim()}`)
}

/** How much of a file that is being fetched has come. */
export async function bytesFetched(host: ReadonlyHost, file: FetchedFile, ctx: Context): Promise<number> {
  const argv = ['sh', '-c', 'wc -c < "$1" 2>/dev/null || echo 0', 'fanout-progress', temporaryOf(file)]
  return Math.min(file.size, Number((await host.look(argv, ctx)).stdout.trim()))
}
