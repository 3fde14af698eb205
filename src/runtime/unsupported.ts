import type { RuntimeName } from '../core/cluster-metadata.ts'
import { CloudimgError } from '../core/error.ts'
import type { Runtime } from './runtime.ts'

/** A clear refusal, for what a runtime cannot do. */
export function unsupported(runtime: RuntimeName, what: string, hint?: string): CloudimgError {
  return new CloudimgError('UNSUPPORTED', `${what} with ${runtime}: this version of cloudimg cannot do it`, {
    ...(hint === undefined ? {} : { hint }),
    data: { runtime },
  })
}

/** A runtime that images may name and that cannot be deployed. */
export function undeployable(name: RuntimeName): Runtime {
  const refuse = (): never => {
    throw unsupported(name, 'deploying a cluster', 'images of it can be built, pushed and saved; deploy k3s images')
  }
  return {
    name,
    support: refuse,
    requirements: refuse,
    inherited: refuse,
    registry: refuse,
    holes: refuse,
    install: refuse,
    serveImages: refuse,
    init: refuse,
    join: refuse,
    renewal: refuse,
    renew: refuse,
    importImages: refuse,
    healImages: refuse,
    upgrade: refuse,
    remove: refuse,
    forget: refuse,
    redirect: refuse,
    snapshot: refuse,
    apply: refuse,
    launch: refuse,
    charts: refuse,
    mark: refuse,
    reset: refuse,
    nodes: refuse,
    images: refuse,
    certificates: refuse,
    kubeconfig: refuse,
  }
}
