import type { RuntimeName } from '../core/cluster-metadata.ts'
import { CloudimgError } from '../core/error.ts'
import { k0s } from './k0s/k0s.ts'
import { k3s } from './k3s/k3s.ts'
import { kubernetes } from './kubernetes/kubernetes.ts'
import type { Runtime } from './runtime.ts'

const runtimes: Readonly<Record<RuntimeName, Runtime>> = { k3s, k0s, kubernetes }

/** The runtime that an image's Metadata names. @throws UNSUPPORTED for one that is not known. */
export function findRuntime(name: string): Runtime {
  if (Object.hasOwn(runtimes, name)) return runtimes[name as RuntimeName]
  throw new CloudimgError('UNSUPPORTED', `deploying a cluster with runtime "${name}": there is no such runtime`, {
    hint: `images say one of ${Object.keys(runtimes).join(', ')} in their Metadata`,
  })
}
