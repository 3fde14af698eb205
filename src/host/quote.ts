import { CloudimgError } from '../core/error.ts'

// `=` is not here: a first word such as `a=b` would be an assignment.
const plain = /^[A-Za-z0-9_@%+:,./-]+$/

/** One command line that any POSIX shell splits into exactly these words again. */
export function quoteArgv(argv: readonly string[]): string {
  return argv.map(quoteWord).join(' ')
}

function quoteWord(word: string): string {
  if (word.includes('\0')) throw new CloudimgError('BUG', 'quoting a command line: a word has a NUL byte')
  return plain.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}
