import * as z from 'zod'
import type { Context } from '../../core/context.ts'
import { CloudimgError } from '../../core/error.ts'
import type { ReadonlyHost } from '../../host/host.ts'
import { expectZero } from '../../host/posix-host.ts'
import type { Marks, Member } from '../runtime.ts'
import { apiUrl } from './config.ts'
import { k3sCommand } from './kube.ts'
import { fullTaint, marksAnnotation, parseMarks } from './marks-note.ts'
import { k3sPaths } from './paths.ts'

const nodeList = z.object({
  items: z.array(
    z.object({
      metadata: z.object({
        name: z.string(),
        labels: z.record(z.string(), z.string()).nullish(),
        annotations: z.record(z.string(), z.string()).nullish(),
      }),
      spec: z
        .object({
          taints: z.array(z.object({ key: z.string(), value: z.string().optional(), effect: z.string() })).nullish(),
        })
        .optional(),
      status: z.object({
        conditions: z
          .array(z.object({ type: z.string(), status: z.string(), message: z.string().optional() }))
          .optional(),
        addresses: z.array(z.object({ type: z.string(), address: z.string() })).optional(),
        nodeInfo: z.object({ kubeletVersion: z.string() }).optional(),
      }),
    }),
  ),
})

const imageList = z.object({
  images: z
    .array(z.object({ repoTags: z.array(z.string()).nullish(), repoDigests: z.array(z.string()).nullish() }))
    .nullish(),
})

export async function readNodes(server: ReadonlyHost, ctx: Context): Promise<readonly Member[]> {
  const { items } = await ask(server, ['kubectl', 'get', 'nodes', '-o', 'json'], nodeList, ctx)
  return items.map(memberOf)
}

function memberOf({ metadata, spec, status }: z.infer<typeof nodeList>['items'][number]): Member {
  const condition = (type: string) => status.conditions?.find(entry => entry.type === type)
  const labels = metadata.labels ?? {}
  const isServer = ['control-plane', 'master', 'etcd'].some(
    role => labels[`node-role.kubernetes.io/${role}`] === 'true',
  )
  // Older versions have no condition that tells voters; there the annotation comes with the membership (DEPLOY.md, "Servers").
  const hasEtcd = labels['node-role.kubernetes.io/etcd'] === 'true'
  const said = condition('EtcdIsVoter')?.status
  const isMember = metadata.annotations?.['etcd.k3s.cattle.io/node-address'] !== undefined
  return {
    name: metadata.name,
    role: isServer ? 'server' : 'agent',
    address: status.addresses?.find(entry => entry.type === 'InternalIP')?.address ?? '',
    ready: condition('Ready')?.status === 'True',
    version: status.nodeInfo?.kubeletVersion ?? '',
    reason: condition('Ready')?.message ?? 'the kubelet has not reported yet',
    voter: hasEtcd ? (said === undefined ? isMember : said === 'True') : undefined,
    ...markedBefore(metadata.annotations?.[marksAnnotation], labels, spec?.taints ?? []),
  }
}

/** What others have set to something else since is theirs. */
function markedBefore(
  note: string | undefined,
  labels: Readonly<Record<string, string>>,
  taints: readonly { readonly key: string; readonly value?: string | undefined; readonly effect: string }[],
): { readonly marked?: Marks } {
  if (note === undefined) return {}
  const present = new Set(taints.map(({ key, value = '', effect }) => `${key}=${value}:${effect}`))
  const before = parseMarks(note)
  return {
    marked: {
      labels: Object.fromEntries(Object.entries(before.labels).filter(([key, value]) => labels[key] === value)),
      taints: before.taints.filter(taint => present.has(fullTaint(taint))),
    },
  }
}

export async function readImages(node: ReadonlyHost, ctx: Context): Promise<readonly string[]> {
  const { images } = await ask(node, ['crictl', 'images', '-o', 'json'], imageList, ctx)
  return (images ?? []).flatMap(image => [...(image.repoTags ?? []), ...(image.repoDigests ?? [])])
}

export async function readKubeconfig(server: ReadonlyHost, address: string, ctx: Context): Promise<string> {
  const text = await server.read(k3sPaths.kubeconfig, ctx)
  if (text === undefined) {
    throw new CloudimgError('COMMAND_FAILED', `reading "${k3sPaths.kubeconfig}" on "${server.name}": no such file`, {
      hint: `see on "${server.name}": systemctl status k3s`,
    })
  }
  return text.replaceAll(/^(\s*server:\s*)https:\/\/\S+$/gm, `$1${apiUrl(address)}`)
}

async function ask<T>(host: ReadonlyHost, args: readonly string[], schema: z.ZodType<T>, ctx: Context): Promise<T> {
  const argv = k3sCommand(args)
  const { stdout } = expectZero(host.name, argv, await host.look(argv, ctx))
  try {
    return schema.parse(JSON.parse(stdout))
  } catch (cause) {
    throw new CloudimgError(
      'COMMAND_FAILED',
      `reading what "k3s ${args.join(' ')}" says on "${host.name}": it is not the JSON that was expected`,
      { cause },
    )
  }
}
