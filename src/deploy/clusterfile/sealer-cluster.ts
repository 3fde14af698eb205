import type { Draft } from './read-sealer.ts'
import type { SealerField } from './sealer-field.ts'

/** sealer's `kind: Cluster` of v2, and of v1 as far as it names machines (facts/sealer.md §4). */
export function convertCluster(document: SealerField, draft: Draft): void {
  const metadata = document.take('metadata')
  const name = metadata?.take('name')?.becomes(['metadata', 'name']).text()
  if (name !== undefined) draft.name = name
  metadata?.rest()
  document.take('status')
  const spec = document.take('spec')
  if (spec !== undefined) convertSpec(spec.becomes(['spec']), draft)
  document.rest()
}

function convertSpec(spec: SealerField, draft: Draft): void {
  const put = (key: string, value: unknown): void => {
    if (value !== undefined) draft.spec[key] = value
  }
  put('image', spec.take('image')?.becomes(['spec', 'image']).value)
  put('ssh', sshOf(spec.take('ssh'), ['spec', 'ssh']))
  put('env', environmentOf(spec.take('env'), ['spec', 'env']))
  const applications = spec.take('appNames')?.becomes(['spec', 'applications']).texts()
  put(
    'applications',
    applications?.filter(entry => entry !== ''),
  )
  put('commands', spec.take('cmd')?.becomes(['spec', 'commands']).value)
  const hosts = spec.take('hosts')?.becomes(['spec', 'hosts'])
  if (hosts !== undefined)
    put(
      'hosts',
      hosts.items().map((host, index) => hostOf(host, ['spec', 'hosts', index])),
    )
  else put('hosts', [...listOf(spec.take('masters'), 'server'), ...listOf(spec.take('nodes'), 'agent')])
  draft.tlsSans.push(...(spec.take('certSANs')?.texts() ?? []))
  const registry = spec.take('registry')
  registry?.note(
    'the registry of sealer has no counterpart here: every image is imported on every node',
    'a cluster needs no registry to start; leave it out',
  )
  spec.rest()
}

/** v1: `masters` and `nodes`, each with an `ipList`; the rest of them is about machines that sealer made itself. */
function listOf(list: SealerField | undefined, role: string): readonly unknown[] {
  const addresses = list?.take('ipList')?.texts() ?? []
  list?.rest()
  return addresses.length === 0 ? [] : [{ addresses, role }]
}

function hostOf(host: SealerField, path: readonly PropertyKey[]): unknown {
  host.becomes(path)
  const roles = host.take('roles')?.texts() ?? []
  const labels = host.take('labels')?.becomes([...path, 'labels'])
  const others = roles.filter(role => role !== 'master' && role !== 'node')
  const named = Object.fromEntries((labels?.entries() ?? []).map(([key, value]) => [key, value.text() ?? value.value]))
  const given = { ...Object.fromEntries(others.map(role => [`node-role.kubernetes.io/${role}`, ''])), ...named }
  const ssh = sshOf(host.take('ssh'), [...path, 'ssh'])
  const taints = taintsOf(host.take('taints')?.becomes([...path, 'taints']))
  const env = environmentOf(host.take('env'), [...path, 'env'])
  const addresses = host.take('ips')?.becomes([...path, 'addresses'])
  host.rest()
  return {
    ...(addresses === undefined ? {} : { addresses: addresses.value }),
    role: roles.includes('master') ? 'server' : 'agent',
    ...(ssh === undefined ? {} : { ssh }),
    ...(env === undefined ? {} : { env }),
    ...(Object.keys(given).length === 0 ? {} : { labels: given }),
    ...(taints.length === 0 ? {} : { taints }),
  }
}

function taintsOf(taints: SealerField | undefined): readonly unknown[] {
  return (taints?.items() ?? []).flatMap(taint => {
    const text = taint.text()
    // Ending in a minus: one to take away, which sealer understood of every key with a minus in it.
    if (text?.endsWith('-') === true) {
      taint.note(`"${text}" takes a taint away; that has no counterpart here`, `kubectl taint node NODE ${text}`)
      return []
    }
    return [taint.value]
  })
}

/** Secrets are never taken over: they would stand in the file. */
function sshOf(ssh: SealerField | undefined, path: readonly PropertyKey[]): unknown {
  if (ssh === undefined) return undefined
  ssh.becomes(path)
  for (const key of ['passwd', 'pkPasswd', 'encrypted']) {
    const secret = ssh.take(key)
    if (secret !== undefined && secret.value !== '' && secret.value !== false)
      secret.note(
        `"${key}": secrets do not belong into the file, it is left out`,
        key === 'pkPasswd' ? 'add the key to your ssh agent' : 'say --ask-password, and take it out of the file',
      )
  }
  const [user, identityFile, port] = [ssh.take('user'), ssh.take('pk'), ssh.take('port')]
  ssh.rest()
  return {
    ...(user === undefined ? {} : { user: user.value }),
    ...(identityFile === undefined ? {} : { identityFile: identityFile.value }),
    ...(port === undefined ? {} : { port: /^\d+$/.test(port.text() ?? '') ? Number(port.text()) : port.value }),
  }
}

/** `K=V` entries; the last of a name counts, as in sealer. */
function environmentOf(env: SealerField | undefined, path: readonly PropertyKey[]): unknown {
  if (env === undefined) return undefined
  env.becomes(path)
  if (!Array.isArray(env.value)) return env.value
  return Object.fromEntries(
    env.texts().map(entry => {
      const equals = entry.indexOf('=')
      return equals < 0 ? [entry, ''] : [entry.slice(0, equals), entry.slice(equals + 1)]
    }),
  )
}
