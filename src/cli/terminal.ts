import type { Event } from '../core/context.ts'

/** The streams and the environment, given from outside so that tests see what a person would. */
export interface Terminal {
  readonly stdout: NodeJS.WriteStream
  readonly stderr: NodeJS.WriteStream
  readonly stdin: NodeJS.ReadStream
  readonly env: NodeJS.ProcessEnv
}

export interface Reporter {
  report(event: Event): void
  /** Leaves the screen as a line-based program would. */
  close(): void
}

export type Styler = (style: 'bold' | 'dim' | 'red' | 'yellow' | 'green' | 'cyan', text: string) => string

const codes = { bold: [1, 22], dim: [2, 22], red: [31, 39], yellow: [33, 39], green: [32, 39], cyan: [36, 39] } as const

/** NO_COLOR and FORCE_COLOR decide; else colour goes to terminals only. */
export function stylerFor(stream: NodeJS.WriteStream, env: NodeJS.ProcessEnv): Styler {
  const forced = env.FORCE_COLOR !== undefined && env.FORCE_COLOR !== '' && env.FORCE_COLOR !== '0'
  const coloured = (env.NO_COLOR ?? '') === '' && (forced || (stream.isTTY && env.TERM !== 'dumb'))
  if (!coloured) return (_, text) => text
  return (style, text) => `\u001B[${codes[style][0]}m${text}\u001B[${codes[style][1]}m`
}
