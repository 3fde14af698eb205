import type { Context } from '../../core/context.ts'
import { CloudimgError, isCloudimgError } from '../../core/error.ts'
import { drain } from '../../io/http.ts'
import type { Credential } from './credential.ts'
import { registryClient, type RemoteOptions } from './registry.ts'

/** Shows the credential to the registry before it is kept. @throws REGISTRY_AUTH where it is refused. */
export async function checkLogin(
  registry: string,
  credential: Credential,
  options: Omit<RemoteOptions, 'credentials'>,
  ctx: Context,
): Promise<void> {
  const client = registryClient(registry, { ...options, credentials: { find: async () => credential } })
  try {
    const response = await client.request(
      {
        method: 'GET',
        to: '/v2/',
        access: [],
        side: 'source',
        doing: `logging in to ${registry}`,
        accept: [200],
      },
      ctx,
    )
    await drain(response)
  } catch (error) {
    if (!isCloudimgError(error, 'REGISTRY_AUTH')) throw error
    throw new CloudimgError('REGISTRY_AUTH', error.message, {
      cause: error,
      hint: 'check the user name and the password or token',
    })
  }
}
