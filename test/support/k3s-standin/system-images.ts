import { atLeast } from './profile.ts'

/** The eight entries of k3s-images.txt. (facts/k3s.md §2.5; up to v1.21 the names lacked `mirrored-`, facts/k3s-observed.md) */
export function systemImages(tag: string): readonly string[] {
  const pause = pauseImage(tag)
  if (!atLeast('1.22.0', tag)) {
    return [
      'docker.io/rancher/coredns-coredns:1.8.3',
      'docker.io/rancher/klipper-helm:v0.5.0-build20210505',
      'docker.io/rancher/klipper-lb:v0.2.0',
      'docker.io/rancher/library-busybox:1.32.1',
      'docker.io/rancher/library-traefik:2.4.8',
      'docker.io/rancher/local-path-provisioner:v0.0.19',
      'docker.io/rancher/metrics-server:v0.3.6',
      pause,
    ]
  }
  return [
    'docker.io/rancher/klipper-helm:v0.9.12-build20251215',
    'docker.io/rancher/klipper-lb:v0.4.13',
    'docker.io/rancher/local-path-provisioner:v0.0.32',
    'docker.io/rancher/mirrored-coredns-coredns:1.13.1',
    'docker.io/rancher/mirrored-library-busybox:1.37.0',
    'docker.io/rancher/mirrored-library-traefik:3.5.1',
    'docker.io/rancher/mirrored-metrics-server:v0.8.0',
    pause,
  ]
}

export function pauseImage(tag: string): string {
  if (atLeast('1.37.0', tag)) return 'docker.io/rancher/mirrored-pause:3.10.2'
  return atLeast('1.22.0', tag) ? 'docker.io/rancher/mirrored-pause:3.6' : 'docker.io/rancher/pause:3.1'
}
