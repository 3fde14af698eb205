import { spawn } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { cloudimgEnvironment, cloudimgProgram } from '../cloudimg.ts'
import type { LabHost } from '../lab.ts'
import type { CutImage } from './cut-image.ts'

/** How one `cloudimg run` ended. */
export interface RunEnd {
  /** Null where it was killed. */
  readonly code: number | null
  /** The last object of `--json`, where there is one. */
  readonly answer: { readonly ok: boolean; readonly changed: boolean } | undefined
  readonly stderr: string
}

/** A `cloudimg run` under way. */
export interface Running {
  readonly ended: Promise<RunEnd>
  /** The operator's machine loses its power as well. */
  kill(): void
}

/** Who deploys: one state directory for all clusters, as on a real operator's machine. */
export interface Operator {
  start(server: LabHost, agents: readonly LabHost[]): Running
}

export async function makeOperator(image: CutImage, home: string): Promise<Operator> {
  const temporary = join(home, 'tmp')
  await mkdir(temporary, { recursive: true })
  const env = { ...cloudimgEnvironment(image.place), TMPDIR: temporary }
  return {
    start(server, agents) {
      const hosts = ['--servers', server.name, '--ssh-config', server.ssh.configFile]
      const more = ['--fix', 'default-route', '--timeout', '240', '--json']
      if (agents.length > 0) hosts.push('--agents', agents.map(agent => agent.name).join(','))
      if (image.standIn) more.push('--allow-stand-in')
      return spawnRun(['run', image.reference, ...hosts, ...more], env)
    },
  }
}

function spawnRun(args: readonly string[], env: Record<string, string>): Running {
  const child = spawn(cloudimgProgram[0]!, [...cloudimgProgram.slice(1), ...args], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 600_000,
  })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString('utf8')))
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString('utf8')))
  const ended = new Promise<RunEnd>(resolve => {
    // Not `close`: ssh's master connection holds stderr open for a while.
    child.once('exit', code => setImmediate(() => resolve({ code, answer: parseAnswer(stdout), stderr })))
  })
  return { ended, kill: () => void child.kill('SIGKILL') }
}

function parseAnswer(stdout: string): RunEnd['answer'] {
  const last = stdout.trim().split('\n').at(-1) ?? ''
  return last.startsWith('{') ? (JSON.parse(last) as RunEnd['answer']) : undefined
}
