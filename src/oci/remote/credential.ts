import type { Context } from '../../core/context.ts'

/** What a registry is shown. An identity token is exchanged for access tokens, a registry token is one itself. */
export type Credential =
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  | { readonly kind: 'identity-token'; readonly token: string }
  | { readonly kind: 'registry-token'; readonly token: string }

/** Where credentials come from. */
export interface Credentials {
  /** Undefined where nothing is known: then the registry is asked without. */
  find(registry: string, repository: string, ctx: Context): Promise<Credential | undefined>
}

/** For registries that everybody may read. */
export const anonymous: Credentials = { find: async () => undefined }

export function basicHeader(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}
