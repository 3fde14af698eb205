import type { Diagnostic } from '../core/diagnostic.ts'
import { isCloudimgError } from '../core/error.ts'
import { type Platform, parsePlatform } from '../core/platform.ts'
import type { Escape, Word } from '../kubefile/ast.ts'
import { ExpansionError, expandWord, expandWords, expansionDiagnostic, type Lookup } from '../kubefile/expand.ts'

/** Words as their values; what is wrong with one becomes a diagnostic at its place, and the value undefined. */
export class Expander {
  readonly escape: Escape
  readonly #diagnostics: Diagnostic[]
  readonly #lookup: Lookup

  constructor(escape: Escape, diagnostics: Diagnostic[], lookup: Lookup) {
    this.escape = escape
    this.#diagnostics = diagnostics
    this.#lookup = lookup
  }

  word(word: Word): string | undefined {
    return this.#expanded(word, () => expandWord(word.text, this.#lookup, { escape: this.escape }).value)
  }

  /** Split at the blanks that variables bring: EXPOSE. */
  words(word: Word): readonly string[] {
    return this.#expanded(word, () => expandWords(word.text, this.#lookup, { escape: this.escape }).values) ?? []
  }

  /** A heredoc's body: quotes stay. */
  body(word: Word): string | undefined {
    return this.#expanded(word, () => expandWord(word.text, this.#lookup, { quotes: 'keep' }).value)
  }

  platform(word: Word): Platform | undefined {
    const text = this.word(word)
    return text === undefined ? undefined : this.at(word, () => parsePlatform(text))
  }

  /** What `work` throws of a mistake in the text is reported at the word. */
  at<T>(word: Word, work: () => T): T | undefined {
    try {
      return work()
    } catch (error) {
      if (!isCloudimgError(error)) throw error
      const { code, message, hint } = error
      const rule = code.toLowerCase().replaceAll('_', '-')
      this.#diagnostics.push({
        severity: 'error',
        rule,
        message,
        span: word.span,
        ...(hint === undefined ? {} : { hint }),
      })
      return undefined
    }
  }

  #expanded<T>(word: Word, work: () => T): T | undefined {
    try {
      return work()
    } catch (error) {
      if (!(error instanceof ExpansionError)) throw error
      this.#diagnostics.push(expansionDiagnostic(error, word))
      return undefined
    }
  }
}
