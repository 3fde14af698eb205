import type { Context } from '../../core/context.ts'
import { isDigest } from '../../core/digest.ts'
import { CloudimgError } from '../../core/error.ts'
import { drain } from '../../io/http.ts'
import type { RegistryClient } from './client.ts'
import { registryError } from './registry-error.ts'

/** Answers by which registries say that they delete no manifests, or no tags (distribution 2 takes a digest alone). */
const unsupported = [400, 405, 501]

/** `DELETE /manifests/<tag or digest>`; false for 404. @throws UNSUPPORTED with what can be done instead. */
export async function removeManifest(
  client: RegistryClient,
  repository: string,
  name: string,
  ctx: Context,
): Promise<boolean> {
  const doing = `deleting "${name}" of ${client.registry}/${repository}`
  const response = await client.request(
    {
      method: 'DELETE',
      to: `/v2/${repository}/manifests/${name}`,
      access: [{ repository, actions: 'pull,push,delete' }],
      side: 'target',
      doing,
      accept: [200, 202, 204, 404, ...unsupported],
    },
    ctx,
  )
  if (!unsupported.includes(response.status)) {
    await drain(response)
    return response.status !== 404
  }
  const { message } = await registryError(response, doing, 'target')
  const allow = 'allow it in the registry (docker-registry: REGISTRY_STORAGE_DELETE_ENABLED=true), or use its own tools'
  const hint = isDigest(name)
    ? allow
    : 'this registry deletes no single tags: delete by digest, with every tag of the image'
  throw new CloudimgError('UNSUPPORTED', message, { hint })
}
