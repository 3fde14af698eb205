import { join } from 'node:path'

/** Where k3s keeps things. The tests of pure parts and the lab's hosts use the same tree; nothing else is touched. */
export const dataDir = '/var/lib/rancher/k3s'
export const configFile = '/etc/rancher/k3s/config.yaml'
export const kubeconfigFile = '/etc/rancher/k3s/k3s.yaml'
export const nodePasswordFile = '/etc/rancher/node/password'
export const containerdSocket = '/run/k3s/containerd/containerd.sock'
export const faultsFile = '/var/lib/cloudimg-standin-faults.json'
export const faultsUsedFile = '/var/lib/cloudimg-standin-faults.used.json'

export const serverDir = join(dataDir, 'server')
export const tlsDir = join(serverDir, 'tls')
export const manifestsDir = join(serverDir, 'manifests')
export const dbDir = join(serverDir, 'db')
export const agentDir = join(dataDir, 'agent')
export const imagesDir = join(agentDir, 'images')
export const containerdDir = join(agentDir, 'containerd')

export const apiPort = 6443
