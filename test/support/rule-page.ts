import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { openContext } from '../../src/build/context.ts'
import { lintBuild } from '../../src/build/lint-build.ts'
import type { Fixed } from '../../src/kubefile/lint/fix.ts'

/** One example of a rule's page: a Kubefile, and the files of its context where the rule is about files. */
export interface RuleExample {
  readonly kubefile: string
  readonly files: ReadonlyMap<string, string>
}

/** `docs/rules/<id>.md` taken apart. */
export interface RulePage {
  readonly why: string
  /** As written, for writing the page anew. */
  readonly sections: { readonly bad: string; readonly good: string }
  readonly bad: RuleExample
  readonly good: RuleExample
}

/** @throws Error for a page without one of its sections. */
export function parseRulePage(text: string): RulePage {
  const section = (title: string): string => {
    const found = new RegExp(`^## ${title}\\n\\n([\\s\\S]*?)(?=\\n## |$(?![\\s\\S]))`, 'm').exec(text)?.[1]
    if (found === undefined) throw new Error(`the page has no section "${title}"`)
    return found.trim()
  }
  const sections = { bad: section('Bad'), good: section('Good') }
  const bad = parseExample(sections.bad, new Map())
  // The good example has the bad one's files but for those that it shows itself.
  return { why: section('Why'), sections, bad, good: parseExample(sections.good, bad.files) }
}

function parseExample(section: string, shared: ReadonlyMap<string, string>): RuleExample {
  const blocks = Array.from(section.matchAll(/^```(\w+)(?: file=(\S+))?\n([\s\S]*?)^```$/gm))
  const kubefile = blocks.find(([, language]) => language === 'dockerfile')?.[3]
  if (kubefile === undefined) throw new Error('the example has no Kubefile')
  const files = blocks.flatMap(([, , path, text = '']) => (path === undefined ? [] : [[path, text] as const]))
  return { kubefile, files: new Map([...shared, ...files]) }
}

/** What `cloudimg lint` finds; files and the lock count only where the example shows files. */
export async function lintExample({ kubefile, files }: RuleExample, fix = false): Promise<Fixed> {
  const request = { kubefile: { filename: 'Kubefile', source: kubefile }, buildArgs: {}, fix }
  if (files.size === 0) return await lintBuild(request)
  const directory = await mkdtemp(join(tmpdir(), 'cloudimg-rule-'))
  try {
    for (const [path, text] of files) {
      await mkdir(dirname(join(directory, path)), { recursive: true })
      await writeFile(join(directory, path), text)
    }
    const path = join(directory, 'Kubefile')
    return await lintBuild({ ...request, context: await openContext(directory, path), lockPath: `${path}.lock` })
  } finally {
    await rm(directory, { recursive: true })
  }
}
