import { setFlagsFromString } from 'node:v8'
import type { Context } from '../core/context.ts'
import { CloudimgError } from '../core/error.ts'
import { closeAll } from '../io/at-end.ts'
import { defaultHome } from '../oci/store/layout.ts'
import type { Store } from '../oci/store/store.ts'
import { exitCodeOf } from './exit-code.ts'
import { asCloudimgError, describeError } from './print-error.ts'
import { createReporter, type ProgressMode } from './reporters.ts'
import { stylerFor, type Styler, type Terminal } from './terminal.ts'

/** The options that every command takes. */
export interface GlobalOptions {
  readonly progress?: string
  readonly quiet?: boolean
  readonly json?: boolean
  readonly debug?: boolean
}

/** What a command's action gets: the context to pass on, and the one way to answer. */
export interface Session {
  readonly ctx: Context
  readonly terminal: Terminal
  readonly style: Styler
  readonly json: boolean
  readonly quiet: boolean
  store(): Promise<Store>
  /** The answer on stdout: `text` for people, `value` as one JSON object with `--json`. */
  answer(value: object, text: string | (() => string)): void
  /** An answer that is these very bytes. */
  answerBytes(bytes: Uint8Array): void
}

const modes: ReadonlySet<string> = new Set(['auto', 'tty', 'plain', 'json', 'quiet'])

/**
 * Runs one command: reporter up, Ctrl-C wired, errors printed once, exit code set. An action returns nothing for 0 or
 * its own code. The second Ctrl-C ends at once.
 */
export async function runSession(
  terminal: Terminal,
  options: GlobalOptions,
  action: (session: Session) => Promise<number | void>,
): Promise<number> {
  // The space for young objects stays as it is now: grown to 48 MB it costs more memory than the time that it saves is worth.
  setFlagsFromString('--semi-space-growth-factor=1')
  const style = stylerFor(terminal.stderr, terminal.env)
  const controller = new AbortController()
  const interrupt = (): void => {
    if (controller.signal.aborted) process.exit(130)
    controller.abort(new CloudimgError('CANCELLED', 'interrupted'))
  }
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt)
  let reporter = createReporter('plain', terminal)
  try {
    reporter = createReporter(progressMode(options), terminal)
    const session: Session = {
      ctx: { signal: controller.signal, events: event => reporter.report(event) },
      terminal,
      style,
      json: options.json === true,
      quiet: options.quiet === true,
      // Loaded when it is used: what only prints should not wait for it.
      store: async () => (await import('../oci/store/store.ts')).openStore(defaultHome(terminal.env)),
      answer: (value, text) => {
        reporter.close()
        const shown = options.json === true ? JSON.stringify(value) : typeof text === 'string' ? text : text()
        if (shown !== '') terminal.stdout.write(shown.endsWith('\n') ? shown : `${shown}\n`)
      },
      answerBytes: bytes => {
        reporter.close()
        terminal.stdout.write(bytes)
      },
    }
    return (await action(session)) ?? 0
  } catch (thrown) {
    reporter.close()
    const error = asCloudimgError(thrown, controller.signal.aborted)
    const code = exitCodeOf(error)
    terminal.stderr.write(`${describeError(error, style, options.debug === true)}\n`)
    if (options.json === true) terminal.stdout.write(`${JSON.stringify(failure(error, code))}\n`)
    return code
  } finally {
    reporter.close()
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt)
    await closeAll()
  }
}

function progressMode(options: GlobalOptions): ProgressMode {
  if (options.quiet === true) return 'quiet'
  const mode = options.progress ?? 'auto'
  if (!modes.has(mode))
    throw new CloudimgError('USAGE', `reading --progress: "${mode}" is none of auto, tty, plain, json`)
  return mode as ProgressMode
}

function failure(error: CloudimgError, code: number): object {
  const { changed = false, ...data } = error.data
  return {
    ok: false,
    changed,
    code,
    error: {
      code: error.code,
      message: error.message,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      data,
    },
  }
}
