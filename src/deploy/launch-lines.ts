import type { ClusterMetadata } from '../core/cluster-metadata.ts'
import { quoteArgv } from '../host/quote.ts'

/** What LAUNCH, CMDS or CMD start, as lines for a shell whose directory is the rootfs (facts/sealer.md §2). */
export function launchLines(
  { applications = [], launch }: Pick<ClusterMetadata, 'applications' | 'launch'>,
  declared: Readonly<Record<string, string>>,
): readonly string[] {
  if (launch === undefined) return []
  const apps = launch.applications.flatMap(name => {
    const app = applications.find(entry => entry.name === name)
    return app === undefined ? [] : [applicationLine(app, declared)]
  })
  return [...apps, ...launch.commands]
}

type Application = NonNullable<ClusterMetadata['applications']>[number]

/** What is declared is set already, and counts. */
function applicationLine(
  { name, type, files, env, command }: Application,
  declared: Readonly<Record<string, string>>,
): string {
  const directory = `application/apps/${name}`
  const variables = Object.entries(env)
    .filter(([key]) => !(key in declared))
    .map(([key, value]) => `${key}=${value}`)
  const run = command ?? usualCommand(name, type, files)
  return `(cd ${quoteArgv([directory])} && env ${quoteArgv([...variables, ...run])})`
}

function usualCommand(name: string, type: Application['type'], files: readonly string[]): readonly string[] {
  switch (type) {
    case 'helm':
      return ['helm', 'upgrade', '--install', name, files[0] ?? '.']
    case 'shell':
      return ['sh', '-e', '-c', 'for file; do sh -e "$file"; done', 'launch', ...files]
    default:
      return [
        'kubectl',
        'apply',
        '--server-side',
        '--field-manager=cloudimg',
        ...(files.length === 0 ? ['-f', '.'] : files.flatMap(file => ['-f', file])),
      ]
  }
}
