import type { Finding } from '../../runtime/finding.ts'
import type { ActionJudge } from '../action.ts'
import { areAlike } from '../registry/pulled-images.ts'

/** What the registry of a URL says, and what no single machine shows. */
export const judgeRegistry: ActionJudge = ({ registry: answer, cluster: { registry }, nodes, wishes }) => {
  const [{ host }] = nodes
  const error = (id: string, message: string, fix: string): Finding => ({ id, host, severity: 'error', message, fix })
  const findings: Finding[] = []
  if (registry.mode === 'managed' && !areAlike(nodes))
    findings.push(
      error(
        'registry-platforms',
        'machines of several kinds would be given each other’s images by a managed registry',
        'leave --registry out, or use a registry of your own: --registry URL',
      ),
    )
  if (wishes.registryPush === true && registry.mode !== 'url')
    findings.push(error('registry-push', 'only the registry of a URL can be pushed to', 'leave --registry-push out'))
  if (registry.mode !== 'url' || answer === undefined) return findings
  const { url } = registry
  for (const name of answer.unreaching)
    findings.push({
      id: 'registry-reach',
      host: name,
      severity: 'error',
      message: `it does not reach ${url}`,
      fix: 'see to route and firewall between the two, and that the host knows the name',
    })
  if (answer.state === 'login')
    findings.push(
      error(
        'registry-login',
        `${url} does not let nodes in: ${answer.why}`,
        'say whom they log in as: --registry-username NAME --registry-password-env VARIABLE',
      ),
    )
  if (answer.state === 'silent')
    findings.push(
      error(
        'registry-silent',
        `${url} does not answer as a registry: ${answer.why}`,
        'see to the address and to http or https in it; name a private authority with --registry-ca FILE',
      ),
    )
  for (const names of answer.collisions)
    findings.push(
      error(
        'registry-collision',
        `${names} are different images that would have one name at ${url}`,
        'rename one of them in the bundle',
      ),
    )
  const other = answer.missing.filter(({ why }) => why === 'other').map(({ name }) => name)
  const absent = answer.missing.filter(({ why }) => why === 'absent').map(({ name }) => name)
  if (other.length > 0)
    findings.push(
      error(
        'registry-tag',
        `at ${url} these names stand for other images: ${shown(other)}`,
        'push the images of the bundle there by hand, or build the image anew',
      ),
    )
  if (absent.length > 0 && wishes.registryPush !== true)
    findings.push(
      error(
        'registry-images',
        `${url} lacks ${absent.length} images of the bundle: ${shown(absent)}`,
        'say --registry-push to have them pushed',
      ),
    )
  return findings
}

function shown(names: readonly string[]): string {
  return `${names.slice(0, 3).join(', ')}${names.length > 3 ? ' …' : ''}`
}
