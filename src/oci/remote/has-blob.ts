import type { Context } from '../../core/context.ts'
import { drain } from '../../io/http.ts'
import type { Descriptor } from '../descriptor.ts'
import type { RegistryClient } from './client.ts'
import type { Side } from './registry-error.ts'

/** `HEAD` on a blob. A redirect says that it is there: following it would only ask the storage behind. */
export async function hasBlob(
  client: RegistryClient,
  repository: string,
  blob: Descriptor,
  side: Side,
  ctx: Context,
): Promise<boolean> {
  const response = await client.request(
    {
      method: 'HEAD',
      to: `/v2/${repository}/blobs/${blob.digest}`,
      access: [{ repository, actions: side === 'source' ? 'pull' : 'pull,push' }],
      side,
      doing: `looking for blob ${blob.digest} in ${client.registry}/${repository}`,
      accept: [200, 302, 303, 307, 308, 404],
    },
    ctx,
  )
  await drain(response)
  return response.status !== 404
}
