import type { Diagnostic } from '../../core/diagnostic.ts'
import { InvalidFileError } from '../../core/invalid-file.ts'
import { explainIssues } from './explain-issues.ts'
import { hideSecrets } from './hide-secrets.ts'
import { judgeMeaning } from './judge-meaning.ts'
import { isSealerFile, readSealerFile } from './read-sealer.ts'
import { type Clusterfile, clusterfileSchema } from './schema.ts'
import { type Locate, readSource, type SourceText } from './source-text.ts'

export interface ParsedClusterfile {
  readonly file: Clusterfile
  /** What a file of sealer says that has no counterpart here. */
  readonly warnings: readonly Diagnostic[]
}

/** Our own Clusterfile, or one of sealer's. @throws InvalidFileError (CLUSTERFILE_INVALID) with every mistake and its place. */
export function parseClusterfile(text: string, filename: string): ParsedClusterfile {
  const source = readSource(text)
  const { value, locate, notes } = choose(source)
  const parsed = clusterfileSchema.safeParse(value)
  const problems =
    source.diagnostics.length > 0
      ? source.diagnostics
      : parsed.success
        ? judgeMeaning(parsed.data, locate)
        : explainIssues(parsed.error.issues, value, locate)
  const diagnostics = [...problems, ...notes]
  if (!parsed.success || diagnostics.some(({ severity }) => severity === 'error'))
    throw new InvalidFileError(filename, hideSecrets(text), inOrder(diagnostics), 'CLUSTERFILE_INVALID')
  return { file: parsed.data, warnings: inOrder(diagnostics) }
}

interface Chosen {
  readonly value: unknown
  readonly locate: Locate
  readonly notes: readonly Diagnostic[]
}

function choose({ documents }: SourceText): Chosen {
  const [first, second] = documents
  if (first === undefined) return { value: {}, locate: nowhere, notes: [] }
  if (isSealerFile(documents)) return readSealerFile(documents)
  const more: readonly Diagnostic[] =
    second === undefined
      ? []
      : [
          {
            severity: 'error',
            rule: 'documents',
            message: 'a Clusterfile is one document, this is a second one',
            span: second.locate([], 'value'),
            hint: 'write each cluster into a file of its own',
          },
        ]
  return { ...first, notes: more }
}

const nowhere: Locate = () => {
  const start = { offset: 0, line: 1, column: 1 }
  return { start, end: start }
}

function inOrder(diagnostics: readonly Diagnostic[]): readonly Diagnostic[] {
  return diagnostics.toSorted((a, b) => a.span.start.offset - b.span.start.offset)
}
