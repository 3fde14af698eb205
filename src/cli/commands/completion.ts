import type { Command } from 'commander'
import { familiarReference, parseReference } from '../../core/reference.ts'
import { completeWords } from '../complete-words.ts'
import { completionScripts, type Shell } from '../completion-scripts.ts'
import type { Session } from '../session.ts'

/** `cloudimg completion SHELL`: the script that the shell loads. */
export function printCompletion(session: Session, shell: Shell): void {
  session.answer({ shell, script: completionScripts[shell] }, completionScripts[shell])
}

/** `cloudimg __complete -- WORD…`: candidates for the last word, one a line. */
export async function complete(session: Session, program: Command, words: readonly string[]): Promise<void> {
  const found = completeWords(program, words)
  const typed = words.at(-1) ?? ''
  const images = found.images ? await storedNames(session, typed) : []
  session.answer({ candidates: [...found.words, ...images] }, [...found.words, ...images].join('\n'))
}

/** As people type them; whoever begins with docker.io gets the long form. */
async function storedNames(session: Session, typed: string): Promise<readonly string[]> {
  const refs = await (await session.store()).refs()
  const shown = typed.startsWith('docker.io') ? refs.map(({ name }) => name) : refs.map(familiarName)
  return shown.filter(name => name.startsWith(typed))
}

function familiarName({ name }: { readonly name: string }): string {
  return familiarReference(parseReference(name))
}
