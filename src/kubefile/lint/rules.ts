import { commandRules } from './command-rules.ts'
import { copyRules } from './copy-rules.ts'
import { imageRules } from './image-rules.ts'
import type { LintRule } from './rule.ts'
import { stageRules } from './stage-rules.ts'
import { styleRules } from './style-rules.ts'
import { variableRules } from './variable-rules.ts'

/** Every rule there is, in the order in which the documentation shows them. */
export const lintRules: readonly LintRule[] = [
  ...imageRules,
  ...stageRules,
  ...copyRules,
  ...variableRules,
  ...commandRules,
  ...styleRules,
]
