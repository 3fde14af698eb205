import type { HookName, HookPlace } from '../hooks/hooks.ts'
import type { Draft } from './read-sealer.ts'
import type { SealerField } from './sealer-field.ts'

interface Counterpart {
  readonly name: HookName
  /** Undefined where the plugin's scope says which hosts. */
  readonly on?: HookPlace
}

/** sealer's phases (facts/sealer.md §3.5). Those of the first master are ours on the first server; those of hosts ask the scope. */
const phases: Readonly<Record<string, Counterpart>> = {
  'pre-install': { name: 'beforeInstall', on: 'first' },
  'pre-init-host': { name: 'beforeInstall' },
  'post-init-host': { name: 'afterInstall' },
  'post-install': { name: 'afterUp', on: 'first' },
  'pre-uninstall': { name: 'beforeReset', on: 'first' },
  'pre-clean-host': { name: 'beforeReset' },
  upgrade: { name: 'beforeUpgrade', on: 'first' },
  'upgrade-host': { name: 'beforeUpgrade' },
}

/** Of the names that docs and users have for the same. */
const aliases: Readonly<Record<string, string>> = { 'pre-clean': 'pre-clean-host' }

/** Shell lines of a phase become hooks of ours; several phases, several hooks. */
export function convertPlugin(document: SealerField, draft: Draft): void {
  const name = document.take('metadata')?.take('name')?.text() ?? ''
  const spec = document.take('spec')
  const [type, action, data, scope] = ['type', 'action', 'data', 'scope'].map(key => spec?.take(key)?.text())
  const found = (action ?? '').split('|').map(phase => [phase, phases[aliases[phase] ?? phase]] as const)
  for (const [phase, counterpart] of found) {
    const places = counterpart?.on === undefined ? placesOf(scope) : [counterpart.on]
    if (type !== 'SHELL' || data === undefined || counterpart === undefined || places.length === 0)
      document.note(
        `the plugin "${name}" (${type ?? 'no type'}, ${phase || 'no action'}${counterpart !== undefined && places.length === 0 ? `, scope "${scope ?? ''}"` : ''}) has no counterpart here, it is left out`,
        `plugins of the type SHELL run as hooks: ${Object.keys(phases).join(', ')}; with the scope master, node or both`,
      )
    else
      for (const on of places)
        draft.hooks[counterpart.name] = [...(draft.hooks[counterpart.name] ?? []), { run: data.trimEnd(), on }]
  }
  spec?.rest()
  document.rest()
}

/** sealer ran nothing anywhere where no scope was given, though its pages say everywhere; here it is everywhere. */
function placesOf(scope: string | undefined): readonly HookPlace[] {
  const roles = (scope ?? '').split('|').filter(role => role !== '')
  if (roles.length === 0) return ['all']
  const [servers, agents] = [roles.includes('master'), roles.includes('node')]
  if (servers && agents) return ['all']
  return servers ? ['servers'] : agents ? ['agents'] : []
}
