import { parseDocument, parse, YAMLMap, YAMLSeq } from 'yaml'
import * as z from 'zod'
import { MiB } from '../core/bytes.ts'
import { CloudimgError } from '../core/error.ts'
import { readFileIfPresent, writeFileAtomic } from '../io/files.ts'

const named = z.array(z.looseObject({ name: z.string() }))
const kubeconfig = z.looseObject({
  clusters: z.array(z.looseObject({ cluster: z.unknown() })).min(1),
  users: z.array(z.looseObject({ user: z.unknown() })).min(1),
})
const own = z.looseObject({ clusters: named.nullish(), users: named.nullish(), contexts: named.nullish() })

/**
 * Adds a cluster to a kubeconfig file as context, cluster and user of one name; those of that name are replaced, all else stays
 * as it is, comments included. The context is the current one only where there was none.
 */
export async function mergeKubeconfig(path: string, text: string, name: string): Promise<void> {
  const { clusters, users } = kubeconfig.parse(parse(text))
  const present = (await readFileIfPresent(path, 16 * MiB))?.toString('utf8') ?? ''
  const document = parseDocument(present.trim() === '' ? 'apiVersion: v1\nkind: Config\n' : present)
  if (document.errors.length > 0 || !own.safeParse(document.toJS()).success)
    throw new CloudimgError('FILE_ERROR', `merging into "${path}": it is no kubeconfig`, {
      hint: 'use the file that cloudimg kubeconfig names instead',
    })
  const put = (key: string, value: object): void => {
    const list = document.get(key)
    const sequence = list instanceof YAMLSeq ? list : new YAMLSeq()
    const rest = sequence.items.filter(item => !(item instanceof YAMLMap && item.get('name') === name))
    sequence.items = [...rest, document.createNode({ name, ...value })]
    document.set(key, sequence)
  }
  put('clusters', { cluster: clusters[0]!.cluster })
  put('users', { user: users[0]!.user })
  put('contexts', { context: { cluster: name, user: name } })
  const current = document.get('current-context')
  if (typeof current !== 'string' || current === '') document.set('current-context', name)
  await writeFileAtomic(path, document.toString(), 0o600)
}
