import type { Runtime } from '../runtime.ts'
import { undeployable } from '../unsupported.ts'

export const kubernetes: Runtime = undeployable('kubernetes')
