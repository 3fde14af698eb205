import { each } from '../core/each.ts'
import { CloudimgError, isCloudimgError, reasonOf } from '../core/error.ts'

/**
 * The same work on several hosts side by side. One host's failure does not stop the others: what they do is finished, and
 * everything that went wrong is told at once. @throws the failure itself where there is one; else one with the first one's
 * code that names every host.
 */
export async function onHosts<T, R>(
  items: readonly T[],
  limit: number,
  nameOf: (item: T) => string,
  work: (item: T) => Promise<R>,
): Promise<readonly R[]> {
  const failures: { readonly host: string; readonly error: unknown }[] = []
  const results = await each(items, limit, async item => {
    try {
      return [await work(item)]
    } catch (error) {
      failures.push({ host: nameOf(item), error })
      return []
    }
  })
  const cancelled = failures.find(failure => isCloudimgError(failure.error, 'CANCELLED'))
  if (cancelled !== undefined) throw cancelled.error
  const [first, second] = failures
  if (first === undefined) return results.flat()
  if (second === undefined) throw first.error
  const list = failures.map(({ host, error }) => `\n  ${host}: ${reasonOf(error)}`).join('')
  const hints = failures.flatMap(({ error }) =>
    isCloudimgError(error) && error.hint !== undefined ? [error.hint] : [],
  )
  const known = isCloudimgError(first.error) ? first.error : undefined
  throw new CloudimgError(known?.code ?? 'BUG', `on ${failures.length} hosts:${list}`, {
    ...(hints[0] === undefined ? {} : { hint: hints[0] }),
    cause: first.error,
    data: { ...known?.data, hosts: failures.map(failure => failure.host).join(' ') },
  })
}
