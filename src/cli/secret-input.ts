import { buffer } from 'node:stream/consumers'
import { CloudimgError } from '../core/error.ts'
import type { Terminal } from './terminal.ts'

/** One line from stdin, without its line end: for `--password-stdin` and the like. */
export async function readSecretFromStdin(terminal: Terminal, flag: string): Promise<string> {
  const secret = (await buffer(terminal.stdin)).toString('utf8').replace(/\r?\n$/, '')
  if (secret === '')
    throw new CloudimgError('USAGE', `reading ${flag}: stdin is empty`, {
      hint: `pipe it in: cat secret | cloudimg … ${flag}`,
    })
  return secret
}

/** Asks without showing what is typed. Off a terminal nothing is asked. @throws USAGE naming the flag to use instead. */
export async function askSecret(terminal: Terminal, question: string, flag: string): Promise<string> {
  const { isCancel, password } = await import('@clack/prompts')
  refuseOffTerminal(terminal, question, flag)
  const answer = await password({ message: question, input: terminal.stdin, output: terminal.stderr })
  if (isCancel(answer)) throw new CloudimgError('CANCELLED', 'interrupted')
  return answer
}

export async function askText(terminal: Terminal, question: string, flag: string): Promise<string> {
  const { isCancel, text } = await import('@clack/prompts')
  refuseOffTerminal(terminal, question, flag)
  const answer = await text({ message: question, input: terminal.stdin, output: terminal.stderr })
  if (isCancel(answer)) throw new CloudimgError('CANCELLED', 'interrupted')
  return answer
}

/** Off a terminal nothing is taken for granted. @throws USAGE naming the flag that says yes. */
export async function askYes(terminal: Terminal, question: string, flag: string): Promise<boolean> {
  const { confirm, isCancel } = await import('@clack/prompts')
  refuseOffTerminal(terminal, question, flag)
  const answer = await confirm({
    message: question,
    initialValue: false,
    input: terminal.stdin,
    output: terminal.stderr,
  })
  return !isCancel(answer) && answer
}

function refuseOffTerminal(terminal: Terminal, question: string, flag: string): void {
  if (terminal.stdin.isTTY) return
  throw new CloudimgError('USAGE', `asking for "${question}": there is no terminal to ask at`, {
    hint: `give it with ${flag}`,
  })
}
