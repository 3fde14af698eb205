import { type Command, InvalidArgumentError } from 'commander'
import { MiB, parseBytes } from '../core/bytes.ts'
import type { Session } from './session.ts'

/** What a command does; its number is the exit code. */
export type Action = (session: Session) => Promise<number | void>

/** Runs a command's action in a session made from its options. */
export type Act = (command: Command, action: Action) => Promise<void>

/** An option that may be given several times; values gather in order. */
export function gather(value: string, previous: readonly string[] | undefined): readonly string[] {
  return [...(previous ?? []), value]
}

export function positiveInteger(value: string): number {
  if (!/^[1-9]\d*$/.test(value)) throw new InvalidArgumentError('it must be a whole number from 1 on')
  return Number(value)
}

export function portNumber(value: string): number {
  if (!/^\d{1,5}$/.test(value) || Number(value) > 65_535)
    throw new InvalidArgumentError('it must be a port, 0 to 65535')
  return Number(value)
}

/** Bytes, at least a mebibyte. */
export function partSize(value: string): number {
  const bytes = parseBytes(value)
  if (bytes === undefined || bytes < MiB)
    throw new InvalidArgumentError('it must be a size of 1M and more: 700M, 4G, 4GB')
  return bytes
}

export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map(line => `  ${line}`).join('\n')}\n`
}
