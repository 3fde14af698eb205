import type { DebianPart } from './debian.ts'

/** What the lab's hosts are made with. */
export const labPrograms: readonly DebianPart[] = [
  { program: 'mmdebstrap', package: 'mmdebstrap' },
  { program: 'ip', package: 'iproute2' },
  { program: 'unshare', package: 'util-linux' },
  { program: 'nsenter', package: 'util-linux' },
  { program: 'mountpoint', package: 'util-linux' },
  { program: 'ssh', package: 'openssh-client' },
  { program: 'ssh-keygen', package: 'openssh-client' },
]

/** Every real part that the integration and end-to-end tests use. */
export const testPrograms: readonly DebianPart[] = [
  ...labPrograms,
  { program: 'sshd', package: 'openssh-server' },
  // By path: a docker in /usr/local/bin may be a client of another version, without an engine.
  { program: '/usr/bin/docker', package: 'docker.io' },
  { program: 'dockerd', package: 'docker.io' },
  { program: 'containerd', package: 'containerd' },
  { program: 'ctr', package: 'containerd' },
  { program: 'docker-registry', package: 'docker-registry' },
  { program: 'podman', package: 'podman' },
  { program: 'buildah', package: 'buildah' },
  { program: 'skopeo', package: 'skopeo' },
  { program: 'umoci', package: 'umoci' },
  { program: 'runc', package: 'runc' },
  { program: 'crun', package: 'crun' },
  { program: 'bwrap', package: 'bubblewrap' },
  { program: 'newuidmap', package: 'uidmap' },
  { program: 'qemu-aarch64-static', package: 'qemu-user-static' },
  { program: 'iptables', package: 'iptables' },
  { program: 'busybox', package: 'busybox' },
  { program: 'setcap', package: 'libcap2-bin' },
  { program: 'dash', package: 'dash' },
  { program: 'shellcheck', package: 'shellcheck' },
  { program: 'zstd', package: 'zstd' },
  { program: 'tmux', package: 'tmux' },
  { program: 'strace', package: 'strace' },
  { program: 'openssl', package: 'openssl' },
  { program: 'git', package: 'git' },
]
