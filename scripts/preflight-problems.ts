/** One row of the facts, and what cloudimg does about it. */
export type Problem = {
  /** Where the facts tell of it. */
  readonly facts: string
  readonly what: string
} & (
  | { readonly when: 'before'; readonly ids: readonly string[] }
  /** `check`: what looks for it once k3s runs; absent where nothing does yet. */
  | { readonly when: 'after-start'; readonly check?: string; readonly fix: string }
  | { readonly when: 'not detectable'; readonly fix: string }
  /** It cannot come about. `fix`: why. */
  | { readonly when: 'prevented'; readonly fix: string }
)

const before = (facts: string, what: string, ...ids: readonly string[]): Problem => ({
  facts,
  what,
  when: 'before',
  ids,
})
const prevented = (facts: string, what: string, fix: string): Problem => ({ facts, what, when: 'prevented', fix })
const undetectable = (facts: string, what: string, fix: string): Problem => ({
  facts,
  what,
  when: 'not detectable',
  fix,
})
const after = (facts: string, what: string, fix: string, check?: string): Problem => ({
  facts,
  what,
  when: 'after-start',
  fix,
  ...(check === undefined ? {} : { check }),
})

const host = (paragraph: string): string => `k3s.md §9.${paragraph}`
const failure = (row: number): string => `k3s.md §10 ${row}`
const observed = (row: number): string => `k3s-observed.md ${row}`

const verifyReady = 'Verify: every node is Ready at the right version'
const verifyImages = 'Verify: every image of the bundle is on every node'

/** All of facts/k3s.md §9 and §10 and of facts/k3s-observed.md, in their order. */
export const problems: readonly Problem[] = [
  before(
    host('1'),
    'too little memory or too few processors, no systemd, programs missing',
    'resources',
    'init',
    'tools',
  ),
  before(host('1'), 'too little room', 'disk', 'inodes'),
  before(host('2'), 'ports taken by others', 'ports', 'web-ports'),
  after(host('2'), 'ports closed between the nodes', 'open TCP 6443, 2379-2380, 10250 and UDP 8472 between the nodes'),
  before(host('3'), 'host names that cannot name nodes, or name two', 'hostname', 'same-name', 'name-taken'),
  before(host('3'), 'clocks apart', 'clock'),
  before(host('3'), 'clones with the same machine id, or one machine named twice', 'same-machine-id', 'same-address'),
  undetectable(
    host('3'),
    'clones with the same product UUID or MAC in different networks',
    'give every machine its own',
  ),
  before(host('4'), 'no default route', 'default-route'),
  before(host('5'), 'modules missing', 'kernel-modules'),
  before(host('5'), 'cgroup controllers missing, or cgroup v1 where it is refused', 'cgroups', 'cgroup-v1'),
  after(host('5'), 'few keys (kernel.keys.root_maxkeys) or inotify instances on dense nodes', 'raise the sysctl'),
  before(host('6'), 'no usable name server', 'nameservers'),
  before(
    host('7'),
    'firewall, AppArmor without its parser, SELinux without policy, fapolicyd',
    'firewall',
    'apparmor',
    'selinux',
    'fapolicyd',
  ),
  before(host('7'), 'nm-cloud-setup', 'nm-cloud-setup'),
  before(host('7'), 'a file system that runs no programs or holds no containers', 'noexec', 'data-fs'),
  after(host('7'), 'XFS without ftype=1 below /var/lib/rancher', 'format the disk with ftype=1'),
  before(host('7'), 'iptables with a known defect', 'iptables'),
  after(host('8'), 'kernel options that `k3s check-config` misses', 'run k3s check-config on the node'),
  before(
    'k3s.md §5.3',
    'an embedded registry that is missing, not ready for use, or without its containerd',
    'registry-version',
    'registry-runtime',
  ),
  before(
    'k3s.md §5.4',
    'a managed registry without a program, or for machines of several kinds',
    'registry-program',
    'registry-platforms',
  ),
  before(
    'k3s.md §5.4',
    'a registry that lacks images, or has others under their names',
    'registry-images',
    'registry-tag',
    'registry-collision',
  ),
  before(host('9'), 'leftovers of k3s, or another Kubernetes', 'foreign-k3s', 'other-kubernetes'),
  before(failure(1), 'unable to select an IP from default routes', 'default-route'),
  before(failure(2), 'pods cannot reach 10.43.0.1', 'default-route'),
  prevented(
    failure(3),
    'a node takes minutes to appear',
    'only the archive of k3s itself is imported at start; --timeout is 900 s',
  ),
  prevented(failure(4), 'the start times out over a huge bundle', 'other images are imported once the node is up'),
  before(failure(5), 'an image archive is missing, or another one', 'image'),
  after(failure(5), 'an archive was not imported', 'cloudimg run brings what is missing', verifyImages),
  after(
    failure(6),
    'images vanish later',
    'make room; cloudimg run brings them back',
    'status: images missing, little room',
  ),
  prevented(failure(7), 'window size exceeded', 'archives stay those of upstream'),
  prevented(failure(8), 'content digest not found at import', 'archives of one platform are imported'),
  prevented(failure(9), 'a half-copied archive is imported', 'files get their name when they are whole'),
  before(failure(10), 'HTTP response to HTTPS client, or no answer at all', 'registry-silent', 'registry-reach'),
  before(failure(11), 'a registry whose authority is unknown', 'registry-silent'),
  before(failure(12), 'a pull hangs, since the registry of the name is asked last', 'registry-fallback'),
  before(failure(13), '401 from a registry', 'registry-login'),
  before(failure(14), 'a change of registries.yaml has no effect', 'registry-differs', 'registries-file'),
  prevented(
    failure(15),
    'the installation of an agent never returns',
    'units are started without blocking, and looked at',
  ),
  prevented(failure(16), 'a new program, the old process', 'a switched node is restarted, and its version verified'),
  prevented(failure(17), 'keys of servers in the configuration of an agent', 'each role has its own configuration'),
  prevented(failure(18), 'critical configuration value mismatch', 'further servers take over what the first one has'),
  before(failure(18), 'a running server with other keys', 'config-differs', 'config-drop-in'),
  before(failure(19), 'bootstrap data of another token', 'foreign-k3s'),
  before(failure(20), 'leftovers of another cluster', 'foreign-k3s'),
  before(failure(21), 'node password rejected', 'same-name', 'name-taken'),
  prevented(failure(22), 'too many learner members', 'servers join one at a time'),
  before(failure(23), 'certificates not yet valid', 'clock'),
  before(failure(24), 'SELinux denials', 'selinux'),
  before(failure(25), 'permission denied, exec format error', 'noexec'),
  before(failure(26), 'CreateContainerError everywhere', 'apparmor'),
  before(failure(27), 'CoreDNS finds no nameservers', 'nameservers'),
  before(failure(28), 'flannel: operation not supported', 'kernel-modules'),
  after(
    failure(29),
    'pods of different nodes do not reach each other',
    'open UDP 8472; ethtool -K flannel.1 tx-checksum-ip-generic off',
  ),
  before(failure(30), 'duplicated iptables rules', 'iptables'),
  before(failure(31), 'failed to find memory cgroup', 'cgroups'),
  before(failure(32), 'k3s ends at once and its log names nm-cloud-setup', 'nm-cloud-setup'),
  after(failure(33), 'the job of traefik hangs for an image', 'keep the archive of upstream as it is', verifyImages),
  before(failure(34), 'two units of k3s on one machine', 'foreign-k3s'),
  before(failure(35), 'a new installation picks up old state', 'foreign-k3s'),
  after(
    failure(36),
    'certificates have ended',
    'restart k3s in the last 90 days of a certificate',
    'status: days to the end of certificates',
  ),
  prevented(failure(37), 'deleting a node hangs without quorum', 'delete refuses where no quorum would be left'),
  prevented(failure(38), 'text file busy', 'files are replaced by renaming'),
  prevented(failure(39), 'sudo does not find k3s', 'programs are called by absolute paths'),
  prevented(failure(40), 'an agent still asks a server that is gone', 'delete tells agents of another server'),
  prevented(failure(41), 'a proxy of the session in the environment of the unit', 'the installer unsets it'),
  prevented(failure(42), 'a manifest is never applied', 'manifests are applied by kubectl from one server'),
  prevented(observed(1), 'archives are read at start only', 'they lie there before the first start'),
  after(observed(2), 'an import failed, and the node is Ready', 'cloudimg run brings what is missing', verifyImages),
  prevented(observed(3), 'endings that are not read', 'archives keep the names of upstream'),
  prevented(observed(4), 'a zstd window above 32 MiB', 'archives stay those of upstream'),
  prevented(observed(5), 'a pull list stalls the start', 'no .txt file is placed there'),
  after(observed(6), 'an image without a name is imported', 'build the image anew', verifyImages),
  after(observed(7), 'Ready without images', 'cloudimg run brings what is missing', verifyImages),
  undetectable(observed(8), 'imagePullPolicy: Always', 'use IfNotPresent in manifests of your own'),
  before(observed(9), 'no default route', 'default-route'),
  after(
    observed(10),
    'the unit is active and the node is not Ready',
    'see journalctl -u k3s or k3s-agent there',
    verifyReady,
  ),
  prevented(observed(11), 'the API asks for a login', 'kubectl runs on a server'),
  after(observed(12), 'an old status of a replaced node', 'wait: Verify asks until it is Ready', verifyReady),
  prevented(observed(13), 'nobody checks the program', 'every file is compared by sha256 before use'),
  prevented(observed(14), 'a change without a restart', 'switched nodes are restarted'),
  prevented(observed(15), 'a token in the environment of the unit', 'tokens stand in the configuration, 0600'),
  prevented(observed(16), 'the first start needs the configuration', 'it is there before'),
  before(observed(17), 'a machine that was imaged anew', 'name-taken'),
  prevented(observed(18), 'servers join at the same time', 'they join one at a time'),
  prevented(observed(19), 'a kubeconfig of 127.0.0.1', 'the one that is fetched names the server'),
  prevented(observed(20), 'pods go on after a stop', 'remove and reset stop them'),
  prevented(observed(21), 'uninstalling leaves the node in the cluster', 'delete takes it out'),
  prevented(
    observed(22),
    'uninstalling leaves files behind',
    'reset takes them away, but for docs/reset-exceptions.txt',
  ),
]
