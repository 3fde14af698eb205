import { posix } from 'node:path'
import type { ShellCommand, ShellWord } from './shell-commands.ts'

/** A command without what stands around it: `sudo env A=b timeout 5 curl …` is `curl …`. */
export interface PlainCommand {
  readonly line: number
  /** Without its directory. */
  readonly program: string
  readonly words: readonly ShellWord[]
  readonly assignments: ReadonlyMap<string, ShellWord>
}

/** Programs that run another one, and their options that take a value. */
const wrappers: Readonly<Record<string, { readonly valued: RegExp; readonly operands?: number }>> = {
  sudo: { valued: /^-[ugpCTDRr]$/ },
  doas: { valued: /^-[uC]$/ },
  env: { valued: /^-[uCS]$/ },
  exec: { valued: /^-a$/ },
  command: { valued: /^$/ },
  builtin: { valued: /^$/ },
  nohup: { valued: /^$/ },
  setsid: { valued: /^$/ },
  time: { valued: /^-[fo]$/ },
  nice: { valued: /^-n$/ },
  ionice: { valued: /^-[cn]$/ },
  stdbuf: { valued: /^-[ioe]$/ },
  timeout: { valued: /^-[ks]$/, operands: 1 },
  chroot: { valued: /^$/, operands: 1 },
  xargs: { valued: /^-[EIiLlnPsad]$/ },
  busybox: { valued: /^$/ },
}

/** Undefined where there is nothing but assignments. */
export function plainCommand({ line, words, assignments }: ShellCommand): PlainCommand | undefined {
  let rest = words
  const settings = new Map(assignments)
  for (;;) {
    const program = posix.basename(rest[0]?.texts[0] ?? '')
    const wrapper = wrappers[program]
    // `command -v NAME` asks whether there is one.
    const asks = program === 'command' && /^-[vV]$/.test(rest[1]?.texts[0] ?? '')
    if (wrapper === undefined || asks)
      return rest.length === 0 ? undefined : { line, program, words: rest, assignments: settings }
    rest = unwrap(rest.slice(1), wrapper, settings)
  }
}

function unwrap(
  words: readonly ShellWord[],
  { valued, operands = 0 }: (typeof wrappers)[string],
  settings: Map<string, ShellWord>,
): readonly ShellWord[] {
  let at = 0
  for (; at < words.length; at++) {
    const text = words[at]!.texts[0]!
    const [, name] = /^([A-Za-z_]\w*)=/.exec(text) ?? []
    if (name !== undefined) {
      const texts = words[at]!.texts.map(alternative => alternative.slice(alternative.indexOf('=') + 1))
      settings.set(name, { ...words[at]!, texts })
    } else if (valued.test(text)) at++
    else if (!text.startsWith('-')) break
  }
  return words.slice(at + operands)
}

/** Every text that stands behind the program, whatever it is. */
export function argumentTexts({ words }: PlainCommand): readonly string[] {
  return words.slice(1).flatMap(({ texts }) => texts)
}

/** The arguments that are no options, nor the values of these options. */
export function operandsOf({ words }: PlainCommand, valued: RegExp = /^$/): readonly ShellWord[] {
  const found: ShellWord[] = []
  for (let at = 1; at < words.length; at++) {
    const text = words[at]!.texts[0]!
    if (valued.test(text)) at++
    else if (!text.startsWith('-') || text === '-') found.push(words[at]!)
  }
  return found
}

/** The values of an option: `-f X`, `-fX` for short ones, `--file X`, `--file=X`. */
export function optionValues({ words }: PlainCommand, names: readonly string[]): readonly ShellWord[] {
  const found: ShellWord[] = []
  for (const [at, word] of words.entries()) {
    const text = word.texts[0]!
    const next = words[at + 1]
    if (names.includes(text)) {
      if (next !== undefined) found.push(next)
      continue
    }
    const name = names.find(option => text.startsWith(option.startsWith('--') ? `${option}=` : option))
    if (name === undefined || (text.startsWith('--') && !name.startsWith('--'))) continue
    const cut = name.length + (name.startsWith('--') || text[name.length] === '=' ? 1 : 0)
    found.push({ ...word, texts: word.texts.map(alternative => alternative.slice(cut)) })
  }
  return found
}
