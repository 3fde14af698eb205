// Longer than most files: it is one table.
import type { InstructionKind } from './ast.ts'

/** `parsed`: understood and kept, refused when a build is planned. Raise to `built` what a build carries out. */
export type Support = 'built' | 'parsed'

export interface FlagSpec {
  readonly name: string
  /** `boolean` may stand alone or take `=true` and `=false`; `text` must have a value. */
  readonly value: 'boolean' | 'text'
  readonly isRepeatable?: true
  /** The only values there are. */
  readonly choices?: readonly string[]
  readonly summary: string
  readonly support: Support
}

/**
 * What one instruction takes. The parser checks against it, `docs/kubefile.md` is made of it.
 * `words`: blanks separate arguments; `line`: the rest of the line is one argument.
 */
export interface InstructionSpec {
  readonly kind: InstructionKind
  readonly flags: readonly FlagSpec[]
  readonly split: 'words' | 'line'
  readonly min: number
  readonly max: number
  /** Whether the arguments may, or must, be a JSON array of strings. */
  readonly json: 'never' | 'allowed' | 'required'
  /** Whether variables in the arguments are expanded; flags expand iff this does. */
  readonly expands: boolean
  readonly usage: string
  readonly summary: string
  readonly example: string
  readonly support: Support
}

const chown: FlagSpec = {
  name: 'chown',
  value: 'text',
  summary: 'owner of what is copied: user[:group], numbers or names of the tree',
  support: 'built',
}
const chmod: FlagSpec = {
  name: 'chmod',
  value: 'text',
  summary: 'mode of what is copied, files and directories: octal, or symbols as u=rwX,go=rX',
  support: 'built',
}
const link: FlagSpec = {
  name: 'link',
  value: 'boolean',
  summary: 'a layer that does not depend on the layers below it: no link of theirs is followed, parents are made anew',
  support: 'built',
}
const exclude: FlagSpec = {
  name: 'exclude',
  value: 'text',
  isRepeatable: true,
  summary: 'a pattern, as in .dockerignore, of what is not copied',
  support: 'built',
}

const word = { flags: [], split: 'words', json: 'never', expands: true, max: Infinity } as const
const line = { flags: [], split: 'line', json: 'never', expands: true, min: 1, max: 1 } as const
const command = { flags: [], split: 'line', json: 'allowed', expands: false, min: 1, max: Infinity } as const

const specs: readonly InstructionSpec[] = [
  {
    ...word,
    kind: 'FROM',
    flags: [{ name: 'platform', value: 'text', summary: 'platform of the base image', support: 'built' }],
    min: 1,
    max: 3,
    usage: 'FROM [--platform=PLATFORM] IMAGE [AS NAME]',
    summary: 'begins a stage: from nothing (scratch), an image, or an earlier stage',
    example: 'FROM scratch',
    support: 'built',
  },
  {
    ...word,
    kind: 'BASE',
    min: 1,
    max: 2,
    usage: 'BASE TEMPLATE[@VERSION] [cache]',
    summary: 'lays down a rootfs template with its artifacts; BASE rootfs collects the images that the tree names',
    example: 'BASE k3s@v1.31.4+k3s1',
    support: 'built',
  },
  {
    ...word,
    kind: 'COPY',
    flags: [
      {
        name: 'from',
        value: 'text',
        summary: 'stage or image to copy from, instead of the context',
        support: 'built',
      },
      chown,
      chmod,
      link,
      {
        name: 'parents',
        value: 'boolean',
        summary: 'keep the directories of the sources, from a /./ on',
        support: 'built',
      },
      exclude,
    ],
    min: 2,
    json: 'allowed',
    usage: 'COPY [FLAGS] SOURCE… TARGET',
    summary: 'copies files and directories of the context, a stage or an image into the tree',
    example: 'COPY --chmod=0755 bin/ bin/',
    support: 'built',
  },
  {
    ...word,
    kind: 'ADD',
    flags: [
      chown,
      chmod,
      link,
      {
        name: 'checksum',
        value: 'text',
        summary: 'sha256:… that a remote file must have, or the commit of a git source',
        support: 'built',
      },
      { name: 'keep-git-dir', value: 'boolean', summary: 'keep .git of a git source', support: 'built' },
      { name: 'unpack', value: 'boolean', summary: 'unpack archives; without it they stay whole', support: 'built' },
      exclude,
    ],
    min: 2,
    json: 'allowed',
    usage: 'ADD [FLAGS] SOURCE… TARGET',
    summary: 'as COPY, and from URLs and git repositories (REMOTE.git#ref:directory)',
    example:
      'ADD --checksum=sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 https://example.com/a.tgz charts/',
    support: 'built',
  },
  {
    ...command,
    kind: 'RUN',
    flags: [
      {
        name: 'mount',
        value: 'text',
        isRepeatable: true,
        summary: 'a mount for this command only: type=bind, cache, tmpfs or secret',
        support: 'built',
      },
      {
        name: 'network',
        value: 'text',
        choices: ['none', 'default', 'host'],
        summary: 'network of the command, none unless told; anything but none unseals the image',
        support: 'built',
      },
      {
        name: 'security',
        value: 'text',
        choices: ['sandbox', 'insecure'],
        summary: 'privileges of the command',
        support: 'parsed',
      },
      { name: 'device', value: 'text', isRepeatable: true, summary: 'a device for the command', support: 'parsed' },
    ],
    usage: 'RUN [FLAGS] COMMAND',
    summary: 'runs a command in the tree or the toolbox and keeps what it changed',
    example: 'RUN ./configure --offline',
    support: 'built',
  },
  {
    ...word,
    kind: 'ARG',
    min: 1,
    usage: 'ARG NAME[=DEFAULT]…',
    summary: 'a variable of the build, set by --build-arg',
    example: 'ARG K3S_VERSION=v1.31.4+k3s1',
    support: 'built',
  },
  {
    ...word,
    kind: 'ENV',
    min: 1,
    usage: 'ENV NAME=VALUE…',
    summary: 'a variable of the build and of the image',
    example: 'ENV CLUSTER_CIDR=10.42.0.0/16',
    support: 'built',
  },
  {
    ...word,
    kind: 'LABEL',
    min: 1,
    usage: 'LABEL NAME=VALUE…',
    summary: 'metadata of the image',
    example: 'LABEL org.opencontainers.image.title="edge cluster"',
    support: 'built',
  },
  {
    ...command,
    kind: 'CMD',
    min: 0,
    usage: 'CMD COMMAND',
    summary: 'the default command; of a cluster image, what runs on the first server once the cluster is up',
    example: 'CMD ["kubectl", "apply", "-f", "manifests/"]',
    support: 'built',
  },
  {
    ...command,
    kind: 'ENTRYPOINT',
    min: 0,
    usage: 'ENTRYPOINT COMMAND',
    summary: 'the program of the image; CMD becomes its arguments',
    example: 'ENTRYPOINT ["/bin/k3s"]',
    support: 'built',
  },
  {
    ...line,
    kind: 'WORKDIR',
    usage: 'WORKDIR DIRECTORY',
    summary: 'the directory in which later instructions work; created where it is missing',
    example: 'WORKDIR /manifests',
    support: 'built',
  },
  {
    ...line,
    kind: 'USER',
    usage: 'USER USER[:GROUP]',
    summary: 'who runs later commands and the image',
    example: 'USER 1000:1000',
    support: 'built',
  },
  {
    ...word,
    kind: 'EXPOSE',
    min: 1,
    usage: 'EXPOSE PORT[/PROTOCOL]…',
    summary: 'ports that the image listens on',
    example: 'EXPOSE 6443/tcp',
    support: 'built',
  },
  {
    ...word,
    kind: 'VOLUME',
    min: 1,
    json: 'allowed',
    usage: 'VOLUME PATH…',
    summary: 'directories that outlive a container',
    example: 'VOLUME /var/lib/rancher',
    support: 'built',
  },
  {
    ...line,
    kind: 'STOPSIGNAL',
    usage: 'STOPSIGNAL SIGNAL',
    summary: 'the signal that stops a container of the image',
    example: 'STOPSIGNAL SIGTERM',
    support: 'built',
  },
  {
    ...command,
    kind: 'SHELL',
    json: 'required',
    usage: 'SHELL ["PROGRAM", "ARGUMENT"…]',
    summary: 'the shell of the shell form',
    example: 'SHELL ["/bin/bash", "-c"]',
    support: 'built',
  },
  {
    ...line,
    kind: 'ONBUILD',
    usage: 'ONBUILD INSTRUCTION',
    summary: 'an instruction for the builds that begin FROM this image',
    example: 'ONBUILD COPY manifests/ manifests/',
    support: 'built',
  },
  {
    ...line,
    kind: 'MAINTAINER',
    expands: false,
    usage: 'MAINTAINER NAME',
    summary: 'the author; LABEL org.opencontainers.image.authors says the same',
    example: 'MAINTAINER Edge Team <edge@example.com>',
    support: 'built',
  },
  {
    ...command,
    kind: 'HEALTHCHECK',
    flags: [
      { name: 'interval', value: 'text', summary: 'time between two checks', support: 'built' },
      { name: 'timeout', value: 'text', summary: 'time after which a check has failed', support: 'built' },
      { name: 'start-period', value: 'text', summary: 'time in which failures do not count', support: 'built' },
      { name: 'start-interval', value: 'text', summary: 'time between two checks in that period', support: 'built' },
      { name: 'retries', value: 'text', summary: 'failures that make it unhealthy', support: 'built' },
    ],
    usage: 'HEALTHCHECK [FLAGS] CMD COMMAND | NONE',
    summary: 'how to tell whether a container of the image is well',
    example: 'HEALTHCHECK --interval=30s CMD k3s kubectl get --raw /readyz',
    support: 'built',
  },
  {
    ...word,
    kind: 'APP',
    min: 2,
    json: 'allowed',
    usage: 'APP NAME SOURCE…',
    summary: 'files of an application, from local://, http:// or https://',
    example: 'APP nginx local://nginx.yaml',
    support: 'built',
  },
  {
    ...word,
    kind: 'APPENV',
    min: 2,
    usage: 'APPENV NAME VARIABLE=VALUE…',
    summary: 'variables for the templates of an application',
    example: 'APPENV nginx replicas=3',
    support: 'built',
  },
  {
    ...word,
    kind: 'APPCMDS',
    expands: false,
    min: 2,
    json: 'required',
    usage: 'APPCMDS NAME ["WORD"…]',
    summary: 'the command that starts an application, instead of the usual one',
    example: 'APPCMDS nginx ["kubectl", "apply", "-f", "nginx.yaml"]',
    support: 'built',
  },
  {
    ...word,
    kind: 'LAUNCH',
    min: 1,
    json: 'allowed',
    usage: 'LAUNCH NAME…',
    summary: 'the applications to start once the cluster is up; once, and last',
    example: 'LAUNCH nginx mysql',
    support: 'built',
  },
  {
    ...command,
    kind: 'CMDS',
    json: 'required',
    usage: 'CMDS ["COMMAND"…]',
    summary: 'the commands to run, one after the other, once the cluster is up; once, and last',
    example: 'CMDS ["kubectl apply -f manifests/", "kubectl get nodes"]',
    support: 'built',
  },
  {
    ...line,
    kind: 'KUBEVERSION',
    expands: false,
    usage: 'KUBEVERSION RANGE',
    summary: 'the Kubernetes versions that the applications work with',
    example: 'KUBEVERSION >=1.25 <1.32',
    support: 'built',
  },
  {
    ...word,
    kind: 'CNI',
    min: 2,
    json: 'allowed',
    usage: 'CNI NAME SOURCE…',
    summary: 'an application that is the cluster network',
    example: 'CNI calico local://calico.yaml',
    support: 'built',
  },
  {
    ...word,
    kind: 'CSI',
    min: 2,
    json: 'allowed',
    usage: 'CSI NAME SOURCE…',
    summary: 'an application that is the cluster storage',
    example: 'CSI longhorn local://longhorn.yaml',
    support: 'built',
  },
]

/** All instructions, in the order in which the documentation shows them. */
export const instructions: ReadonlyMap<InstructionKind, InstructionSpec> = new Map(specs.map(spec => [spec.kind, spec]))

/** The instruction of that word in any case, undefined for a word that is none. */
export function instructionSpec(word: string): InstructionSpec | undefined {
  return instructions.get(word.toUpperCase() as InstructionKind)
}
