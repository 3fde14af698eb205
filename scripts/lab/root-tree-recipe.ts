/** What the hosts' Debian tree consists of. Its hash names the cached tree: any change here makes a new one. */
export interface LabRecipe {
  readonly suite: string
  readonly packages: readonly string[]
  readonly excludedPaths: readonly string[]
  readonly users: readonly LabUser[]
  readonly maskedUnits: readonly string[]
  /** Path → content. */
  readonly files: Readonly<Record<string, string>>
}

export interface LabUser {
  readonly name: string
  readonly uid: number
  readonly sudo: 'free' | 'password' | 'none'
  readonly password?: string
}

/** Has a blank and quotes on purpose: whoever passes it on has to quote rightly. */
export const clerkPassword = `it's "the" pass word`

export const labRecipe: LabRecipe = {
  suite: 'bookworm',
  packages: [
    'systemd',
    'systemd-sysv',
    'dbus',
    'openssh-server',
    'sudo',
    'iproute2',
    'iptables',
    'ca-certificates',
    'kmod',
    'iputils-ping',
    'procps',
    // Hosts pass files on with them.
    'busybox',
    'curl',
    'python3',
    'wget',
  ],
  excludedPaths: ['/usr/share/doc/*', '/usr/share/man/*', '/usr/share/locale/*', '/usr/share/info/*'],
  users: [
    { name: 'cloud', uid: 1000, sudo: 'free' },
    { name: 'clerk', uid: 1001, sudo: 'password', password: clerkPassword },
    { name: 'guest', uid: 1002, sudo: 'none' },
  ],
  // They reach for hardware, for the whole machine's kernel, or for the internet; in a namespace they fail or must not be tried.
  maskedUnits: [
    'systemd-udevd.service',
    'systemd-udev-trigger.service',
    'systemd-udevd-control.socket',
    'systemd-udevd-kernel.socket',
    'systemd-modules-load.service',
    'systemd-binfmt.service',
    'systemd-sysctl.service',
    'proc-sys-fs-binfmt_misc.automount',
    'sys-kernel-config.mount',
    'sys-kernel-debug.mount',
    'sys-kernel-tracing.mount',
    'sys-fs-fuse-connections.mount',
    'dev-hugepages.mount',
    'dev-mqueue.mount',
    'systemd-remount-fs.service',
    'systemd-timesyncd.service',
    'systemd-networkd.service',
    'getty.target',
    'console-getty.service',
    'apt-daily.timer',
    'apt-daily-upgrade.timer',
    'dpkg-db-backup.timer',
    'e2scrub_all.timer',
    'fstrim.timer',
  ],
  files: {
    '/etc/systemd/journald.conf.d/lab.conf': '[Journal]\nStorage=volatile\nRuntimeMaxUse=16M\n',
    '/etc/ssh/sshd_config.d/lab.conf':
      'UseDNS no\nPermitRootLogin prohibit-password\nPasswordAuthentication yes\nMaxStartups 100\n',
    '/etc/hosts': '127.0.0.1 localhost\n',
    '/etc/resolv.conf': '',
    '/etc/machine-id': '',
  },
}
