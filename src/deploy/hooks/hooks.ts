import type { SituatedNode } from '../situation.ts'

/** When: before k3s is started on a host for the first time; once its node is up; once all are, and the applications; before its k3s is switched; before it goes. */
export const hookNames = ['beforeInstall', 'afterInstall', 'afterUp', 'beforeUpgrade', 'beforeReset'] as const
export type HookName = (typeof hookNames)[number]

export type HookPlace = 'first' | 'servers' | 'agents' | 'all'

/** Lines for the shell, in the rootfs, with `set -e`. */
export interface Hook {
  readonly run: string
  readonly on: HookPlace
  readonly timeoutSeconds: number
}

export type Hooks = Partial<Readonly<Record<HookName, readonly Hook[]>>>

/** `first` is a server that the cluster is asked by. */
export function runsOn(hook: Hook, node: SituatedNode, first: SituatedNode): boolean {
  if (hook.on === 'first') return node.host === first.host
  return hook.on === 'all' || hook.on === `${node.role}s`
}
