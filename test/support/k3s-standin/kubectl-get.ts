import { stringify } from 'yaml'
import { ApiError } from './api-error.ts'
import { renderJsonPath } from './jsonpath.ts'
import type { KubeClient } from './kube-client.ts'
import type { KubectlArgs } from './kubectl-args.ts'
import { formatTable, tableOf } from './kubectl-table.ts'
import { Exit, unknownToStandIn } from './log.ts'
import { urlOf, type Resource } from './resources.ts'
import type { KubeObject } from './store.ts'

export interface Selected {
  readonly resource: Resource
  readonly objects: readonly KubeObject[]
  /** By name, so that a single one prints as itself. */
  readonly isNamed: boolean
}

/** The objects that words such as `nodes`, `node a b`, `node/a pod/b`, `nodes,pods` mean. */
export async function select(
  client: KubeClient,
  words: readonly string[],
  args: KubectlArgs,
): Promise<readonly Selected[]> {
  const [first = ''] = words
  if (words.some(word => word.includes('/'))) {
    return await Promise.all(
      words.map(async word => await selectOf(client, word.split('/')[0] ?? '', [word.split('/')[1] ?? ''], args)),
    )
  }
  return await Promise.all(first.split(',').map(async word => await selectOf(client, word, words.slice(1), args)))
}

async function selectOf(
  client: KubeClient,
  word: string,
  names: readonly string[],
  args: KubectlArgs,
): Promise<Selected> {
  const resource = await client.resourceNamed(word)
  if (resource === undefined) throw new Exit(1, `error: the server doesn't have a resource type "${word}"`)
  const namespace = args.has('all-namespaces') ? undefined : (args.flag('namespace') ?? 'default')
  if (names.length > 0) {
    const objects: KubeObject[] = []
    for (const name of names) {
      const found = await client.getIfPresent(urlOf(resource, namespace, name))
      if (found !== undefined) objects.push(found)
      else if (!args.has('ignore-not-found')) {
        const group = resource.group === '' ? '' : `.${resource.group}`
        throw new ApiError(404, 'NotFound', `${resource.name}${group} "${name}" not found`)
      }
    }
    return { resource, objects, isNamed: true }
  }
  const query = new URLSearchParams()
  for (const [flag, name] of [
    ['selector', 'labelSelector'],
    ['field-selector', 'fieldSelector'],
  ] as const) {
    const value = args.flag(flag)
    if (value !== undefined) query.set(name, value)
  }
  return { resource, objects: await client.list(`${urlOf(resource, namespace)}?${query.toString()}`), isNamed: false }
}

export async function runGet(client: KubeClient, args: KubectlArgs): Promise<void> {
  const raw = args.flag('raw')
  if (raw !== undefined) return void process.stdout.write(await client.raw(raw))
  if (args.has('watch')) throw unknownToStandIn('kubectl get --watch')
  if (args.words.length === 0) throw new Exit(1, 'error: Required resource not specified.')
  const selected = await select(client, args.words, args)
  const output = args.flag('output') ?? ''
  if (output !== '' && output !== 'wide') return void process.stdout.write(formatOutput(output, selected))
  const found = selected.filter(({ objects }) => objects.length > 0)
  if (found.length === 0 && !args.has('ignore-not-found')) {
    const isNamespaced = selected.some(({ resource }) => resource.namespaced) && !args.has('all-namespaces')
    const where = isNamespaced ? ` in ${args.flag('namespace') ?? 'default'} namespace` : ''
    process.stderr.write(`No resources found${where}\n`)
  }
  const tables = found.map(({ resource, objects }) => {
    const table = tableOf(resource.kind, objects, output === 'wide', args.has('all-namespaces') && resource.namespaced)
    return formatTable(table, !args.has('no-headers'))
  })
  process.stdout.write(tables.join('\n'))
}

function formatOutput(output: string, selected: readonly Selected[]): string {
  const objects = selected.flatMap(one => one.objects)
  if (output === 'name')
    return selected.flatMap(({ resource, objects: own }) => own.map(object => `${nameOf(resource, object)}\n`)).join('')
  const isSingle = selected.length === 1 && selected[0]?.isNamed === true && objects.length <= 1
  if (isSingle && objects.length === 0) return ''
  const value = isSingle
    ? objects[0]
    : { apiVersion: 'v1', items: objects, kind: 'List', metadata: { resourceVersion: '' } }
  if (output === 'json') return `${JSON.stringify(value, undefined, 4)}\n`
  if (output === 'yaml') return stringify(value)
  const [form, template] = splitOnce(output)
  if (form === 'jsonpath' && template !== undefined) return renderJsonPath(template, value)
  if (form === 'custom-columns' && template !== undefined) return customColumns(template, objects)
  throw unknownToStandIn(`kubectl output "${output}"`)
}

function customColumns(template: string, objects: readonly KubeObject[]): string {
  const columns = template.split(',').map(splitColumn)
  const rows = objects.map(object =>
    columns.map(([, path]) => renderJsonPath(`{${path}}`, object).split(' ').join(',') || '<none>'),
  )
  return formatTable({ columns: columns.map(([title]) => title), rows })
}

function splitColumn(text: string): readonly [string, string] {
  const colon = text.indexOf(':')
  return [text.slice(0, colon), text.slice(colon + 1)]
}

function splitOnce(text: string): readonly [string, string | undefined] {
  const at = text.indexOf('=')
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]
}

/** `node/a`, `deployment.apps/b`. */
export function nameOf(resource: Resource, object: KubeObject): string {
  return `${resource.kind.toLowerCase()}${resource.group === '' ? '' : `.${resource.group}`}/${object.metadata.name}`
}
