import { CloudimgError } from '../core/error.ts'
import type { Terminal } from './terminal.ts'

/** Goes on only where a person says yes. @throws CANCELLED for a no; USAGE off a terminal, naming the flag that says yes. */
export async function confirm(terminal: Terminal, question: string, flag: string): Promise<void> {
  if (!terminal.stdin.isTTY) {
    throw new CloudimgError('USAGE', `asking "${question}": there is no terminal to ask at`, {
      hint: `say yes with ${flag}, or look first with --dry-run`,
    })
  }
  const clack = await import('@clack/prompts')
  const answer = await clack.confirm({
    message: question,
    initialValue: false,
    input: terminal.stdin,
    output: terminal.stderr,
  })
  if (answer !== true) throw new CloudimgError('CANCELLED', 'nothing was removed')
}
