import { z } from 'zod'
import type { Context } from '../../core/context.ts'
import { CloudimgError } from '../../core/error.ts'
import type { ReadonlyHost } from '../../host/host.ts'
import { expectZero } from '../../host/posix-host.ts'
import type { NodeStatus } from '../runtime.ts'
import { apiUrl } from './config.ts'
import { k3sPaths } from './paths.ts'

const nodeList = z.object({
  items: z.array(
    z.object({
      metadata: z.object({ name: z.string() }),
      status: z.object({
        conditions: z
          .array(z.object({ type: z.string(), status: z.string(), message: z.string().optional() }))
          .optional(),
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

export async function readNodes(server: ReadonlyHost, ctx: Context): Promise<readonly NodeStatus[]> {
  const { items } = await ask(server, ['kubectl', 'get', 'nodes', '-o', 'json'], nodeList, ctx)
  return items.map(({ metadata, status }) => {
    const ready = status.conditions?.find(condition => condition.type === 'Ready')
    return {
      name: metadata.name,
      ready: ready?.status === 'True',
      version: status.nodeInfo?.kubeletVersion ?? '',
      reason: ready?.message ?? 'the kubelet has not reported yet',
    }
  })
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
  // kubectl keeps a cache below HOME; a look must leave nothing behind, and must end.
  const argv = ['env', 'HOME=/run/cloudimg-deploy', 'timeout', '30', k3sPaths.program, ...args]
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
