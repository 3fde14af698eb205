import { isIP } from 'node:net'
import type { Diagnostic } from '../../core/diagnostic.ts'
import { CloudimgError, reasonOf } from '../../core/error.ts'
import { parseReference } from '../../core/reference.ts'
import { isReservedKey } from '../../runtime/k3s/reserved-keys.ts'
import { parseRegistry } from '../registry/choose-registry.ts'
import { explainKey } from './reserved-fields.ts'
import { addressOfHost } from './host-lists.ts'
import { type Clusterfile, roleOf } from './schema.ts'
import type { Locate, Path } from './source-text.ts'

type Complain = (path: Path, message: string, hint?: string, what?: 'key' | 'value') => void

/** What no schema can tell: addresses that are none, machines named twice, no server, keys that are not the user's. */
export function judgeMeaning(file: Clusterfile, locate: Locate): readonly Diagnostic[] {
  const diagnostics: Diagnostic[] = []
  const complain: Complain = (path, message, hint, what = 'value') =>
    void diagnostics.push({
      severity: 'error',
      rule: 'meaning',
      message,
      span: locate(path, what),
      ...(hint === undefined ? {} : { hint }),
    })
  judgeImage(file, complain)
  judgeHosts(file, complain)
  judgeConfig(file, complain)
  judgeRegistry(file, complain)
  return diagnostics
}

function judgeImage({ spec }: Clusterfile, complain: Complain): void {
  try {
    parseReference(spec.image)
  } catch (error) {
    complain(['spec', 'image'], reasonOf(error), error instanceof CloudimgError ? error.hint : undefined)
  }
}

function judgeHosts({ spec }: Clusterfile, complain: Complain): void {
  const seen = new Set<string>()
  for (const [index, host] of spec.hosts.entries()) {
    const at = ['spec', 'hosts', index] as const
    for (const [place, text] of host.addresses.entries()) {
      const path = [...at, 'addresses', place]
      try {
        const { host: name, port } = addressOfHost(text, { ...spec.ssh, ...host.ssh })
        const key = `${name.toLowerCase()} ${port ?? 22}`
        if (seen.has(key))
          complain(path, `"${text}" is named twice`, 'name every machine once; a server runs workloads too')
        seen.add(key)
      } catch (error) {
        complain(path, reasonOf(error), error instanceof CloudimgError ? error.hint : undefined)
      }
    }
    if (host.nodeIP === undefined) continue
    if (isIP(host.nodeIP) === 0) complain([...at, 'nodeIP'], `"${host.nodeIP}" is no IP address`)
    if (host.addresses.length > 1)
      complain(
        [...at, 'nodeIP'],
        'one address in the cluster for several machines',
        'give each of them an entry of its own',
        'key',
      )
  }
  if (!spec.hosts.some(host => roleOf(host) === 'server'))
    complain(['spec', 'hosts'], 'no host is a server', 'write role: server for one', 'key')
}

function judgeRegistry({ spec }: Clusterfile, complain: Complain): void {
  const { registry, registryLogin, registryCaFile } = spec
  try {
    if (registry !== undefined && parseRegistry(registry).mode === 'url') return
  } catch (error) {
    return complain(['spec', 'registry'], reasonOf(error), error instanceof CloudimgError ? error.hint : undefined)
  }
  const hint = 'write registry: https://HOST too'
  if (registryLogin !== undefined) complain(['spec', 'registryLogin'], 'a login, but no URL of a registry', hint, 'key')
  if (registryCaFile !== undefined)
    complain(['spec', 'registryCaFile'], 'an authority, but no URL of a registry', hint, 'key')
}

function judgeConfig({ spec }: Clusterfile, complain: Complain): void {
  for (const role of ['server', 'agent'] as const)
    for (const key of Object.keys(spec.config?.[role] ?? {}))
      if (isReservedKey(key))
        complain(['spec', 'config', role, key], `the key "${key}" is set by cloudimg itself`, explainKey(key), 'key')
}
