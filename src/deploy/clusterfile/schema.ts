import * as z from 'zod'
import type { Role } from '../../runtime/runtime.ts'

export const apiVersion = 'cloudimg.io/v1'

const labelName = String.raw`[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?`
const labelPrefix = String.raw`(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?/)?`
const labelValue = String.raw`(?:${labelName})?`
const variable = /^[A-Za-z_][A-Za-z0-9_]*$/

const words = (what: string) => z.array(z.string().min(1)).optional().describe(what)

const ssh = z
  .strictObject({
    user: z.string().min(1).optional().describe('who logs in; as your ssh configuration says unless told'),
    port: z.int().min(1).max(65_535).optional(),
    identityFile: z.string().min(1).optional().describe('a private key, beside this file unless absolute'),
    jump: z
      .string()
      .regex(/^[^\s-]\S*$/, 'not [USER@]HOST[:PORT]')
      .optional()
      .describe('the host to go through, as `ssh -J`'),
    passwordEnv: z
      .string()
      .regex(variable, 'no name of a variable')
      .optional()
      .describe('the environment variable that holds the ssh password; passwords themselves do not belong here'),
    sudoPasswordEnv: z
      .string()
      .regex(variable, 'no name of a variable')
      .optional()
      .describe('the environment variable that holds the sudo password'),
  })
  .describe('how machines are reached; your own ssh configuration, agent and known_hosts apply')

const labels = z
  .record(
    z.string().regex(new RegExp(`^${labelPrefix}${labelName}$`), 'no key of a label'),
    z.string().regex(new RegExp(`^${labelValue}$`), 'no value of a label'),
  )
  .describe('labels that the node has; others are left alone')

const taint = new RegExp(`^${labelPrefix}${labelName}(?:=${labelValue})?:(?:NoSchedule|PreferNoSchedule|NoExecute)$`)

const host = z.strictObject({
  addresses: z
    .array(z.string().min(1))
    .min(1)
    .describe('names or addresses by which ssh reaches the machines; localhost alone is this machine'),
  role: z.enum(['server', 'agent', 'master', 'node']).describe('master and node are other words for server and agent'),
  ssh: ssh.optional(),
  nodeIP: z.string().min(1).optional().describe('the address in the cluster, where it cannot be told; for one machine'),
  labels: labels.optional(),
  taints: z.array(z.string().regex(taint, 'not KEY[=VALUE]:NoSchedule|PreferNoSchedule|NoExecute')).optional(),
})

const configValue = z.union([z.string(), z.number(), z.boolean(), z.array(z.union([z.string(), z.number()]))])
const configMap = z.record(z.string().regex(/^[a-z][a-z0-9-]*\+?$/, 'no key of a k3s configuration'), configValue)

/** What a Clusterfile may say; JSON Schema for editors is made from it (`schemas/clusterfile.json`). */
export const clusterfileSchema = z.strictObject({
  apiVersion: z.literal(apiVersion),
  kind: z.literal('Cluster'),
  metadata: z.strictObject({ name: z.string().regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, 'no name') }).optional(),
  spec: z.strictObject({
    image: z.string().min(1).describe('the cluster image'),
    ssh: ssh.optional(),
    hosts: z.array(host).min(1),
    tlsSans: words('further names and addresses in the certificates of the servers'),
    endpoint: z
      .string()
      .min(1)
      .optional()
      .describe('a virtual address or a balancer before the servers; cloudimg does not make it'),
    datastoreEndpointFile: z
      .string()
      .min(1)
      .optional()
      .describe('a file with the URL of a datastore outside, password included'),
    registry: z
      .string()
      .min(1)
      .optional()
      .describe(
        'where nodes ask for images that they lack: none, embedded, managed, or the URL of a registry; what the cluster has unless told',
      ),
    registryLogin: z
      .strictObject({
        username: z.string().min(1),
        passwordEnv: z
          .string()
          .regex(variable, 'no name of a variable')
          .describe('the environment variable that holds the password'),
      })
      .optional()
      .describe('whom nodes log in as, where the registry is a URL'),
    registryCaFile: z
      .string()
      .min(1)
      .optional()
      .describe('the authority of the certificate of that URL, PEM, beside this file unless absolute'),
    config: z
      .strictObject({ server: configMap.optional(), agent: configMap.optional() })
      .optional()
      .describe('further keys of the configuration of k3s, by role'),
    env: z
      .record(z.string().regex(variable, 'no name of a variable'), z.string())
      .optional()
      .describe('environment of the applications, commands and hooks'),
    applications: words('which applications of the image start, instead of those that it launches'),
    commands: words('lines for the shell on the first server, instead of those of the image'),
    hooks: z
      .strictObject({ afterUp: words('lines for the shell on the first server, once all nodes are Ready') })
      .optional(),
  }),
})

export type Clusterfile = z.output<typeof clusterfileSchema>
export type ClusterfileHost = Clusterfile['spec']['hosts'][number]
export type ClusterfileSsh = NonNullable<Clusterfile['spec']['ssh']>

export function roleOf({ role }: ClusterfileHost): Role {
  return role === 'server' || role === 'master' ? 'server' : 'agent'
}

/** Draft 2020-12, for editors. */
export function clusterfileJsonSchema(): object {
  const made = z.toJSONSchema(clusterfileSchema)
  return { ...made, $id: 'https://cloudimg.io/schemas/clusterfile.json', title: 'Clusterfile' }
}
