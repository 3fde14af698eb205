import * as z from 'zod'
import { parseJson } from './json.ts'

export const applicationSchema = z.strictObject({
  name: z.string(),
  /** How it is started: kubectl apply, helm, the shell; absent where only `command` says. */
  type: z.enum(['kube', 'helm', 'shell']).optional(),
  /** Relative to `application/apps/NAME/`, in the order in which they are started. */
  files: z.array(z.string()),
  /** For its templates. */
  env: z.record(z.string(), z.string()),
  /** The words of one command that starts it, instead of the usual one. */
  command: z.array(z.string()).optional(),
})

/** What runs on the first server once the cluster is up: applications by name, or lines for the shell. */
export const launchSchema = z.strictObject({ applications: z.array(z.string()), commands: z.array(z.string()) })

const schema = z.strictObject({ applications: z.array(applicationSchema), launch: launchSchema.optional() })

/** sealer's APP, CNI or CSI, as an image carries it. */
export type Application = z.infer<typeof applicationSchema>
export type Launch = z.infer<typeof launchSchema>
export type Applications = z.infer<typeof schema>

/** On the manifest of every image that has applications; also of one that is no cluster image. */
export const applicationsAnnotation = 'io.cloudimg.applications'

export function formatApplications(applications: Applications): string {
  return JSON.stringify(applications)
}

/** What an image's annotations tell; nothing where there is no such annotation, or one of another version. */
export function parseApplications(annotations: Readonly<Record<string, string>> | undefined): Applications {
  const text = annotations?.[applicationsAnnotation]
  const parsed = schema.safeParse(text === undefined ? undefined : parseJson(text))
  return parsed.success ? parsed.data : { applications: [] }
}
