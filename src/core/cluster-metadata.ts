import * as z from 'zod'
import { applicationSchema, launchSchema } from './application.ts'
import { isDigest } from './digest.ts'
import { CloudimgError } from './error.ts'

const artifact = z.strictObject({
  name: z.string(),
  /** In the rootfs, relative. */
  path: z.string(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  size: z.number().int().nonnegative(),
})

/** A file that the build laid down, and whose absence nobody else would notice. */
const listedFile = z.strictObject({
  path: z.string(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  size: z.number().int().nonnegative(),
})

/** A container image below `images/oci`, by one of its names. */
const collectedImage = z.object({
  name: z.string(),
  /** Of this platform's manifest. */
  digest: z.string().refine(isDigest),
  /** Bytes of its manifest, config and layers. */
  size: z.number().int().nonnegative(),
  /** `file:line field`. */
  askedBy: z.array(z.string()).readonly(),
})

export type CollectedImage = z.infer<typeof collectedImage>

const schema = z.object({
  apiVersion: z.literal('cloudimg.io/v1'),
  kind: z.literal('ClusterImage'),
  runtime: z.enum(['k3s', 'k0s', 'kubernetes']),
  /** The distribution's tag, `v1.31.4+k3s1`; absent where the build could not tell. */
  version: z.string().optional(),
  platform: z.string(),
  /** Whether nothing in it needs the internet; `unsealed` says what weakened that. */
  sealed: z.boolean(),
  unsealed: z.array(z.string()),
  artifacts: z.array(artifact),
  /** Programs, scripts and templates beside those; absent where they are too many. */
  files: z.array(listedFile).optional(),
  /** What this version of the runtime can do, by the names of its template. */
  features: z.array(z.string()),
  /** The k3s of the tests, which runs nothing. */
  standIn: z.boolean().optional(),
  /** Component → version, as far as the release tells. */
  components: z.record(z.string(), z.string()),
  /** Container images that the runtime needs on a node, in full. */
  images: z.array(z.string()),
  /** Container images that were collected beside those. */
  collected: z.array(collectedImage).optional(),
  /** sealer's APP, CNI and CSI; their files lie in `application/apps/NAME/`. */
  applications: z.array(applicationSchema).optional(),
  /** What LAUNCH, CMDS or CMD start on the first server, in the rootfs, once the cluster is up. */
  launch: launchSchema.optional(),
  /** The Kubernetes versions that the applications work with, as KUBEVERSION says. */
  kubeVersion: z.string().optional(),
})

/** The file `Metadata` at the root of a cluster image: what a deployer has to know before it unpacks anything. */
export type ClusterMetadata = z.infer<typeof schema>
export type RuntimeName = ClusterMetadata['runtime']

/** @throws IMAGE_INVALID naming the first field that is wrong. */
export function parseClusterMetadata(text: string): ClusterMetadata {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    throw new CloudimgError('IMAGE_INVALID', 'reading Metadata: not JSON', { cause: error })
  }
  const parsed = schema.safeParse(json)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new CloudimgError(
    'IMAGE_INVALID',
    `reading Metadata: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}`,
  )
}

/** Indented, one field a line: people read it on the host. */
export function formatClusterMetadata(metadata: ClusterMetadata): string {
  return `${JSON.stringify(metadata, undefined, 2)}\n`
}
