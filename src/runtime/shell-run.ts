import type { Content, Op, Probe } from './step.ts'

/** Scripts for the shell of a host, one after the other, each in a shell of its own and for so long at most. */
export interface ShellRun {
  /** How the script is called where processes are listed: `launch`, `hook`. */
  readonly name: string
  /** The working directory; its `bin` is first on PATH. */
  readonly directory: string
  readonly scripts: readonly { readonly run: string; readonly timeoutSeconds: number }[]
  /** Lines that set variables: in a file for root's eyes, never in an argument. */
  readonly environment: Content
  readonly kubeconfig: string
  /** A file that is made once all of them are through; where it is, nothing is run. */
  readonly mark?: string
}

export const environmentFile = '/run/cloudimg-deploy/environment'

// $1 directory, $2 environment, $3 kubeconfig, $4 mark or nothing; then seconds and script, as often as there are.
const runScript = `set -e; cd "$1"; at=$2 mark=$4; trap 'rm -f "$at"' EXIT
export PATH="$1/bin:/usr/local/bin:$PATH" KUBECONFIG="$3" HOME=/root
[ -z "$mark" ] || [ ! -e "$mark" ] || exit 0
[ ! -e "$at" ] || . "$at"
shift 4
while [ $# -gt 0 ]; do timeout "$1" sh -e -c "$2" </dev/null; shift 2; done
[ -z "$mark" ] || { mkdir -p "$(dirname "$mark")"; : > "$mark"; sync "$mark" 2>/dev/null || sync; }`

export function shellRunOps({ name, directory, scripts, environment, kubeconfig, mark = '' }: ShellRun): readonly Op[] {
  const words = scripts.flatMap(({ run, timeoutSeconds }) => [String(timeoutSeconds), run])
  return [
    ...(environment.length === 0
      ? []
      : [{ op: 'file', path: environmentFile, mode: 0o600, content: environment } as const]),
    { op: 'exec', argv: ['sh', '-c', runScript, name, directory, environmentFile, kubeconfig, mark, ...words] },
  ]
}

/** Whatever became of the run, its environment is gone. */
export const environmentIsGone: Probe = {
  probe: 'command',
  argv: ['test', '!', '-e', environmentFile],
  expect: 'zero',
}
