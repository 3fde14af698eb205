import { posix } from 'node:path'
import { CloudimgError } from '../core/error.ts'
import type { Healthcheck as HealthcheckInstruction, Word } from '../kubefile/ast.ts'
import { findFlag } from '../kubefile/ast.ts'
import type { Healthcheck } from '../oci/image.ts'

/** WORKDIR's argument, absolute: a relative one goes on from the one before. */
export function resolveWorkdir(before: string, path: string): string {
  return posix.resolve('/', before, path)
}

/** A command as the config has it: the shell's words before a script, the array as it stands. */
export function commandArgv(
  command:
    { readonly form: 'exec'; readonly argv: readonly Word[] } | { readonly form: 'shell'; readonly script: Word },
  shell: readonly string[],
): readonly string[] {
  return command.form === 'exec' ? command.argv.map(word => word.text) : [...shell, command.script.text]
}

/** A command as one line for the shell. */
export function shellLine(command: Parameters<typeof commandArgv>[0]): string {
  return command.form === 'shell' ? command.script.text : command.argv.map(word => quoted(word.text)).join(' ')
}

function quoted(word: string): string {
  return /^[\w%+,./:=@-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}

/** `80`, `80/udp`, `8000-8010/tcp` as the single ports that the config lists. @throws CONTEXT_INVALID. */
export function parsePorts(text: string): readonly string[] {
  const [, first = '', last, protocol = 'tcp'] = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/([A-Za-z]+))?$/.exec(text) ?? []
  const [from, to] = [Number(first), Number(last ?? first)]
  const name = protocol.toLowerCase()
  const isKnown = ['tcp', 'udp', 'sctp'].includes(name)
  if (first === '' || from < 1 || to > 65_535 || to < from || !isKnown) {
    throw new CloudimgError('CONTEXT_INVALID', `"${text}" is no port`, {
      hint: 'write PORT, FIRST-LAST, or either with /tcp, /udp or /sctp',
    })
  }
  return Array.from({ length: to - from + 1 }, (_, index) => `${from + index}/${name}`)
}

const signals = new Set(
  (
    'ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP ' +
    'TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ'
  ).split(' '),
)

/** A name with or without SIG, a number, or a real-time signal. */
export function isSignal(text: string): boolean {
  if (/^\d+$/.test(text)) return Number(text) >= 1 && Number(text) <= 64
  const name = text.toUpperCase().replace(/^SIG/, '')
  return signals.has(name) || /^RTM(?:IN(?:\+(?:[1-9]|1[0-5]))?|AX(?:-(?:[1-9]|1[0-4]))?)$/.test(name)
}

const unitNs: Readonly<Record<string, number>> = { ns: 1, us: 1e3, µs: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 }

/** `1m30s`, `500ms` in nanoseconds. @throws CONTEXT_INVALID for what is none, or less than a millisecond and not 0. */
export function parseDuration(text: string): number {
  const isDuration = /^(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+$/.test(text)
  const parts = Array.from(text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g))
  const ns = Math.round(parts.reduce((sum, [, number, unit]) => sum + Number(number) * unitNs[unit!]!, 0))
  if (text === '0') return 0
  if (!isDuration || (ns !== 0 && ns < 1e6)) {
    throw new CloudimgError('CONTEXT_INVALID', `"${text}" is no duration of a millisecond or more`, {
      hint: 'write numbers with units: 30s, 1m30s, 500ms',
    })
  }
  return ns
}

/** HEALTHCHECK as the config has it; what no flag says is left to the engine. @throws CONTEXT_INVALID. */
export function healthcheckOf(instruction: HealthcheckInstruction, expand: (word: Word) => string): Healthcheck {
  const { command } = instruction
  if (command === undefined) return { Test: ['NONE'] }
  const Test =
    command.form === 'exec' ? ['CMD', ...command.argv.map(word => word.text)] : ['CMD-SHELL', command.script.text]
  const time = (flag: string): number | undefined => {
    const value = findFlag(instruction, flag)?.value
    return value === undefined ? undefined : parseDuration(expand(value))
  }
  return withoutZeros({
    Test,
    Interval: time('interval'),
    Timeout: time('timeout'),
    StartPeriod: time('start-period'),
    StartInterval: time('start-interval'),
    Retries: retriesOf(instruction, expand),
  })
}

function retriesOf(instruction: HealthcheckInstruction, expand: (word: Word) => string): number | undefined {
  const value = findFlag(instruction, 'retries')?.value
  if (value === undefined) return undefined
  const text = expand(value)
  if (/^\d{1,9}$/.test(text)) return Number(text)
  throw new CloudimgError('CONTEXT_INVALID', `"${text}" is no number of retries`, { hint: 'write --retries=3' })
}

// 0 means "as the base image or the engine has it": docker leaves such fields out.
function withoutZeros(check: { readonly [K in keyof Healthcheck]: Healthcheck[K] | undefined }): Healthcheck {
  const entries = Object.entries(check).filter(([, value]) => value !== undefined && value !== 0)
  return Object.fromEntries(entries) as unknown as Healthcheck
}
