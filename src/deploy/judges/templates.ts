import type { Finding } from '../../runtime/finding.ts'
import type { NodeTemplate } from '../../runtime/runtime.ts'
import type { ActionJudge } from '../action.ts'
import { variablesOf } from '../environment.ts'
import { targetOf } from '../phases/render-files.ts'
import { parseTemplate } from '../template.ts'

/** What cannot be rendered as it was meant. Each thing is said once, with the first host that has it. */
export const judgeTemplates: ActionJudge = ({ nodes, cluster, env }) => {
  const said = new Map<string, Finding>()
  for (const node of nodes) {
    const { templates = [] } = node.rootfs
    if (templates.length === 0) continue
    const known = new Set(variablesOf(node, cluster.id, env).keys())
    for (const template of templates)
      for (const [message, fix] of troublesOf(template, known))
        if (!said.has(message)) said.set(message, { id: 'template', host: node.host, severity: 'error', message, fix })
  }
  return [...said.values()]
}

function troublesOf(template: NodeTemplate, known: ReadonlySet<string>): readonly (readonly [string, string])[] {
  const { path } = template
  const { pieces, mistakes } = parseTemplate(template.text)
  const target = targetOf(template)
  return [
    ...(isReserved(target)
      ? [[`${path}: "${target}" is written by cloudimg itself`, 'give the template another name in the image'] as const]
      : []),
    ...mistakes.map(
      ({ line, text }) =>
        [`${path}:${line}: "${text}" is none of {{ .NAME }} and {{ "text" }}`, 'write variables only'] as const,
    ),
    ...pieces.flatMap(piece =>
      typeof piece === 'string' || known.has(piece.variable)
        ? []
        : [
            [
              `${path}:${piece.line}: there is no variable "${piece.variable}"`,
              `write env: { ${piece.variable}: … } into the Clusterfile, for all or for the host`,
            ] as const,
          ],
    ),
  ]
}

function isReserved(target: string): boolean {
  return target.startsWith('/etc/rancher/') || /^\/etc\/systemd\/system\/(?:k3s|cloudimg)/.test(target)
}
