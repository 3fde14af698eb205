import type { KubeObject } from './store.ts'

/** `a=b`, `a==b`, `a!=b`, `a`, `!a`, joined by commas. */
export function matchesLabels(selector: string, labels: Readonly<Record<string, string>>): boolean {
  return selector
    .split(',')
    .filter(part => part !== '')
    .every(part => {
      const [, key = '', operator, value] = /^!?([^=!]+)(?:(==|=|!=)(.*))?$/.exec(part.trim()) ?? []
      if (operator === undefined) return key in labels !== part.trim().startsWith('!')
      return operator === '!=' ? labels[key] !== value : labels[key] === value
    })
}

/** The few fields that clients select by. */
export function matchesFields(selector: string, object: KubeObject): boolean {
  const spec = object['spec'] as { readonly nodeName?: string } | undefined
  const status = object['status'] as { readonly phase?: string } | undefined
  const fields: Readonly<Record<string, string | undefined>> = {
    'metadata.name': object.metadata.name,
    'metadata.namespace': object.metadata.namespace,
    'spec.nodeName': spec?.nodeName,
    'status.phase': status?.phase,
  }
  return selector
    .split(',')
    .filter(part => part !== '')
    .every(part => {
      const [, key = '', operator, value] = /^([^=!]+)(==|=|!=)(.*)$/.exec(part) ?? []
      if (!(key in fields)) throw new Error(`field label not supported: ${key}`)
      return operator === '!=' ? fields[key] !== value : fields[key] === value
    })
}
