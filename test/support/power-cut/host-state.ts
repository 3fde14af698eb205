import type { LabHost } from '../lab.ts'

/** Path → kind, mode, owner and content, with what differs from cluster to cluster replaced by names for it. */
export type HostState = Readonly<Record<string, string>>

const places = '/etc/rancher /etc/systemd/system /usr/local/bin /var/lib/cloudimg'

/** Whatever is random or certified in them, they must be there. */
const madeForEachCluster: readonly string[] = ['/etc/rancher/k3s/k3s.yaml', '/etc/rancher/node/password']

// Lines of: kind, mode, owner, link target, path; a tab between them. Journals have times and ids of operations.
const listScript = `find ${places} -path /var/lib/cloudimg/journal -prune -o -printf '%y\\t%m\\t%U:%G\\t%l\\t%p\\n' 2>/dev/null`
const sumScript = `find ${places} -path /var/lib/cloudimg/journal -prune -o -type f -size +64k -exec sha256sum {} +`
const textScript = `find ${places} -path /var/lib/cloudimg/journal -prune -o -type f ! -size +64k -print |
while IFS= read -r path; do printf '%s %s\\n' "$(base64 -w0 <"$path")" "$path"; done`

/**
 * All that a deployment leaves on a host, comparable between hosts.
 * @param names what else stands for this very host or cluster: text → name.
 */
export async function readHostState(host: LabHost, names: Readonly<Record<string, string>>): Promise<HostState> {
  const texts = new Map(
    lines(await host.must(textScript)).map(line => {
      const [encoded, path] = split(line, ' ')
      return [path, Buffer.from(encoded, 'base64').toString('utf8')] as const
    }),
  )
  const sums = new Map(lines(await host.must(sumScript)).map(line => [line.slice(66), line.slice(0, 64)] as const))
  const rename = renamer({ ...names, ...(await ownNames(host, texts)) })
  const state: Record<string, string> = {}
  for (const line of lines(await host.must(listScript))) {
    const [kind, mode, owner, target, path = ''] = line.split('\t')
    const text = texts.get(path)
    const content = madeForEachCluster.includes(path) ? 'made for each cluster' : (text ?? sums.get(path) ?? '')
    state[path] = rename(`${kind} ${mode} ${owner} ${target}\n${content}`)
  }
  return state
}

/** The tokens, the cluster's id, and the checksum of a config that holds tokens. */
async function ownNames(host: LabHost, texts: ReadonlyMap<string, string>): Promise<Readonly<Record<string, string>>> {
  const config = texts.get('/etc/rancher/k3s/config.yaml') ?? ''
  const tokens = [...config.matchAll(/^(token|agent-token): "(.+)"$/gm)].map(([, key, token]) => [token!, `<${key}>`])
  const cluster = /"cluster":"([^"]+)"/.exec(texts.get('/var/lib/cloudimg/node.json') ?? '')?.[1]
  const sum = config === '' ? undefined : (await host.must('sha256sum /etc/rancher/k3s/config.yaml')).slice(0, 64)
  return Object.fromEntries([
    ...tokens,
    ...(cluster === undefined ? [] : [[cluster, '<cluster>']]),
    ...(sum === undefined ? [] : [[sum, '<sha256 of config.yaml>']]),
  ]) as Readonly<Record<string, string>>
}

function renamer(names: Readonly<Record<string, string>>): (text: string) => string {
  const all = Object.entries(names).map(
    ([text, name]) => [new RegExp(`(?<![\\w.])${text.replaceAll('.', '\\.')}(?!\\w)`, 'g'), name] as const,
  )
  return text => all.reduce((now, [pattern, name]) => now.replaceAll(pattern, name), text)
}

/** The paths where two states differ, each with both sides; shown by tests. */
export function differences(wanted: HostState, found: HostState): Readonly<Record<string, readonly [string, string]>> {
  const paths = [...new Set([...Object.keys(wanted), ...Object.keys(found)])].filter(
    path => wanted[path] !== found[path],
  )
  return Object.fromEntries(paths.map(path => [path, [wanted[path] ?? 'absent', found[path] ?? 'absent'] as const]))
}

function lines(text: string): readonly string[] {
  return text.split('\n').filter(line => line !== '')
}

function split(line: string, at: string): readonly [string, string] {
  const index = line.indexOf(at)
  return [line.slice(0, index), line.slice(index + 1)]
}
