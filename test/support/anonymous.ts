import type { Credentials } from '../../src/oci/remote/credential.ts'

/** For registries that everybody may read. */
export const anonymous: Credentials = { find: async () => undefined }
