import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { ApiError } from './api-error.ts'
import type { KubeClient } from './kube-client.ts'
import type { KubectlArgs } from './kubectl-args.ts'
import { nameOf, select } from './kubectl-get.ts'
import { Exit, reasonOf } from './log.ts'
import { parseManifest } from './manifests.ts'
import { urlOf } from './resources.ts'
import type { KubeObject } from './store.ts'

/** `apply` and `create` from files, directories and standard input; every object is tried, the first trouble decides the exit code. */
export async function runApply(client: KubeClient, args: KubectlArgs, verb: 'apply' | 'create'): Promise<void> {
  const troubles: string[] = []
  for (const { source, text } of readFiles(args)) {
    try {
      for (const object of parseManifest(text)) await applyOne(client, object, args, verb)
    } catch (error) {
      if (error instanceof ApiError)
        troubles.push(`Error from server (${error.reason}): error when applying "${source}": ${error.message}`)
      else troubles.push(`error: ${source}: ${reasonOf(error)}`)
    }
  }
  if (troubles.length > 0) throw new Exit(1, troubles.join('\n'))
}

async function applyOne(
  client: KubeClient,
  object: KubeObject,
  args: KubectlArgs,
  verb: 'apply' | 'create',
): Promise<void> {
  if (typeof object.apiVersion !== 'string' || typeof object.kind !== 'string')
    throw new Error("Object 'Kind' is missing")
  const namespace = args.flag('namespace')
  const placed = namespace === undefined ? object : withNamespace(object, namespace)
  const target = await client.urlOfObject(placed)
  if (target === undefined)
    throw new Error(`unable to recognize: no matches for kind "${object.kind}" in version "${object.apiVersion}"`)
  const name = nameOf(target.resource, placed)
  const path = `${target.url}/${placed.metadata.name}`
  const before = await client.getIfPresent(path)
  const after = verb === 'create' ? await client.create(target.url, placed) : await client.patch(path, placed, 'apply')
  if (placed.kind === 'CustomResourceDefinition') client.forgetResources()
  process.stdout.write(`${name} ${wordFor(verb, args, before, after)}\n`)
}

function wordFor(verb: string, args: KubectlArgs, before: KubeObject | undefined, after: KubeObject): string {
  if (verb === 'create') return 'created'
  if (args.has('server-side')) return 'serverside-applied'
  if (before === undefined) return 'created'
  return before.metadata.resourceVersion === after.metadata.resourceVersion ? 'unchanged' : 'configured'
}

function withNamespace(object: KubeObject, namespace: string): KubeObject {
  return { ...object, metadata: { namespace, ...object.metadata } }
}

function readFiles(args: KubectlArgs): readonly { readonly source: string; readonly text: string }[] {
  const names = args.all('filename')
  if (names.length === 0) throw new Exit(1, 'error: must specify one of -f and -k')
  return names.flatMap(name => {
    if (name === '-') return [{ source: 'STDIN', text: readFileSync(0, 'utf8') }]
    return filesAt(name, args.has('recursive')).map(source => ({ source, text: readFileSync(source, 'utf8') }))
  })
}

function filesAt(path: string, recursive: boolean): readonly string[] {
  let isDirectory: boolean
  try {
    isDirectory = statSync(path).isDirectory()
  } catch {
    throw new Exit(1, `error: the path "${path}" does not exist`)
  }
  if (!isDirectory) return [path]
  return readdirSync(path, { withFileTypes: true, recursive })
    .filter(entry => entry.isFile() && /\.(?:ya?ml|json)$/.test(entry.name))
    .map(entry => join(entry.parentPath, entry.name))
    .toSorted()
}

/** `delete TYPE NAME…`, `delete TYPE/NAME`, `delete -f FILE`. */
export async function runDelete(client: KubeClient, args: KubectlArgs): Promise<void> {
  if (args.all('filename').length > 0) {
    for (const { text } of readFiles(args))
      for (const object of parseManifest(text)) await deleteObject(client, object, args)
    return
  }
  const hasSelection = args.words.length > 1 || args.words.some(word => word.includes('/'))
  if (!hasSelection && args.flag('selector') === undefined && !args.has('all'))
    throw new Exit(1, 'error: resource(s) were provided, but no name was specified')
  for (const { resource, objects } of await select(client, args.words, args)) {
    for (const object of objects) {
      await client.delete(urlOf(resource, object.metadata.namespace, object.metadata.name))
      process.stdout.write(
        `${resource.kind.toLowerCase()}${resource.group === '' ? '' : `.${resource.group}`} "${object.metadata.name}" deleted\n`,
      )
    }
  }
}

async function deleteObject(client: KubeClient, object: KubeObject, args: KubectlArgs): Promise<void> {
  const target = await client.urlOfObject(object)
  if (target === undefined)
    throw new Exit(1, `error: no matches for kind "${object.kind}" in version "${object.apiVersion}"`)
  const path = `${target.url}/${object.metadata.name}`
  if (args.has('ignore-not-found') && (await client.getIfPresent(path)) === undefined) return
  await client.delete(path)
  process.stdout.write(`${object.kind.toLowerCase()} "${object.metadata.name}" deleted\n`)
}
