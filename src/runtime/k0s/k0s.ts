import type { Runtime } from '../runtime.ts'
import { undeployable } from '../unsupported.ts'

export const k0s: Runtime = undeployable('k0s')
