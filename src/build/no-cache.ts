import { CloudimgError } from '../core/error.ts'
import { suggest } from '../core/suggest.ts'
import type { Kubefile } from '../kubefile/ast.ts'
import type { StagePlan } from './plan.ts'

/** `--no-cache`, or the stages of `--no-cache-filter` by name or number. */
export type NoCache = 'all' | readonly string[]

/** Whether a stage is to be made anew. @throws USAGE for a name that is no stage. */
export function freshStages(noCache: NoCache, { stages }: Kubefile): (stage: StagePlan) => boolean {
  if (noCache === 'all') return () => true
  const names = stages.map(({ from }, number) => from?.as?.text.toLowerCase() ?? String(number))
  const wanted = noCache.map(name => {
    const found = names.findIndex((stage, number) => stage === name.toLowerCase() || String(number) === name)
    if (found >= 0) return found
    const near = suggest(name, names)
    throw new CloudimgError('USAGE', `reading --no-cache-filter: the Kubefile has no stage "${name}"`, {
      hint: near === undefined ? `name one of its stages: ${names.join(', ')}` : `did you mean ${near}?`,
    })
  })
  return ({ number }) => wanted.includes(number)
}
