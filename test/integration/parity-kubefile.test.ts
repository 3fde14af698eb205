import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ContainerConfig, ImageConfig } from '../../src/oci/image.ts'
import { cloudimgJson, type CloudimgPlace } from '../support/cloudimg.ts'
import { type ContainerTools, openContainerTools } from '../support/engines.ts'
import { configDifferences, isKnownEverywhere, knownDifferences } from '../support/parity.ts'
import { type RealRegistry, startRealRegistry } from '../support/real-registry.ts'
import { listTree, treeDifferences, type TreeListing } from '../support/tree-listing.ts'

let tools: ContainerTools
let registry: RealRegistry
let place: CloudimgPlace

const at = (...parts: string[]): string => join(tools.home, ...parts)

beforeAll(async () => {
  tools = await openContainerTools()
  registry = await startRealRegistry()
  place = { home: at('cloudimg') }
  await writeContext()
  await pushBase()
})
afterAll(async () => {
  await tools[Symbol.asyncDispose]()
  await registry[Symbol.asyncDispose]()
})

/** path, content, mode */
const files: readonly (readonly [string, string, number?])[] = [
  ['app/run', '#!/bin/sh\n', 0o755],
  ['app/conf/a.conf', 'a'],
  ['app/conf/b.conf', 'b', 0o600],
  ['app/readme.md', 'read'],
  ['app/docs/deep.md', 'deep'],
  ['etc/passwd', 'root:x:0:0::/:/\napp:x:1000:1001::/:/\n'],
  ['etc/group', 'root:x:0:\nstaff:x:50:\n'],
  ['one', '1'],
  ['two', '2', 0o4711],
]

async function writeContext(): Promise<void> {
  for (const [path, content, mode = 0o644] of files) {
    await mkdir(dirname(at('context', path)), { recursive: true })
    await writeFile(at('context', path), content)
    await chmod(at('context', path), mode)
  }
  await chmod(at('context/app/conf'), 0o750)
}

const baseLines = `FROM scratch
COPY etc /etc
COPY app/conf /usr/share/conf
COPY one /usr/bin/one
COPY --chown=3:4 two /srv/two
ENV A=base PATH=/usr/bin
LABEL level=base
USER 1000:50
WORKDIR /srv
ENTRYPOINT ["/usr/bin/one"]
CMD ["base"]
EXPOSE 80
VOLUME /data
STOPSIGNAL SIGINT
MAINTAINER Base <base@example.com>
`

/** Made and pushed by buildah: packed with gzip, by another's hand. */
async function pushBase(): Promise<void> {
  await writeFile(at('Base'), baseLines)
  const context = at('context')
  for (const [tag, lines] of [
    ['1', baseLines],
    ['onbuild', `${baseLines}ONBUILD ENV TRIGGERED=$A\nONBUILD COPY one /onbuild/\n`],
  ] as const) {
    await writeFile(at('Base'), lines)
    await tools.buildah([
      'bud',
      '-q',
      '--format=docker',
      '-f',
      at('Base'),
      '-t',
      `${registry.host}/base:${tag}`,
      context,
    ])
    await tools.buildah(['push', '-q', '--tls-verify=false', `${registry.host}/base:${tag}`])
  }
}

interface Built {
  readonly tree: TreeListing
  readonly config: ContainerConfig
  readonly author: string | undefined
}

let serial = 0

async function byBuildah(lines: string, flags: readonly string[]): Promise<Built> {
  const name = `localhost/theirs:${++serial}`
  await writeFile(at('Containerfile'), lines)
  const own = ['bud', '-q', '--format=docker', '--tls-verify=false', '-f', at('Containerfile'), '-t', name]
  await tools.buildah([...own, ...flags, at('context')])
  const mount = await tools.podman(['image', 'mount', name])
  const tree = listTree(mount)
  await tools.podman(['image', 'unmount', name])
  const inspected = JSON.parse(await tools.buildah(['inspect', '--type', 'image', name])) as { Docker: ImageConfig }
  return { tree, config: inspected.Docker.config ?? {}, author: inspected.Docker.author }
}

async function byCloudimg(lines: string, flags: readonly string[]): Promise<Built> {
  const name = `ours:${++serial}`
  await writeFile(at('Kubefile'), lines)
  await cloudimgJson(
    ['build', '-f', at('Kubefile'), '--lock-file', at(`${serial}.lock`), '-t', name, ...flags, at('context')],
    place,
  )
  await cloudimgJson(['unpack', name, at(`tree-${serial}`)], place)
  const { platforms } = await cloudimgJson<{ platforms: readonly { config: ImageConfig }[] }>(['inspect', name], place)
  const { config = {}, author } = platforms[0]!.config
  return { tree: listTree(at(`tree-${serial}`)), config, author }
}

type Case = readonly [name: string, lines: string, flags?: readonly string[]]

/** `BASE` stands for the image in the registry. */
const cases: readonly Case[] = [
  ['cmd-shell', 'FROM scratch\nCOPY one /\nCMD echo $A "b"\n'],
  ['entrypoint-and-cmd', 'FROM scratch\nCOPY one /\nENTRYPOINT ["/one"]\nCMD ["a", "b"]\n'],
  ['cmd-before-entrypoint', 'FROM scratch\nCOPY one /\nCMD ["a"]\nENTRYPOINT ["/one"]\n'],
  ['entrypoint-shell', 'FROM scratch\nCOPY one /\nSHELL ["/bin/bash", "-c"]\nENTRYPOINT one two\nCMD three\n'],
  [
    'workdir',
    'FROM scratch\nWORKDIR /a/b\nCOPY one .\nWORKDIR c\nCOPY two ./\nCOPY one sub/\nWORKDIR ../d\nCOPY one named\n',
  ],
  ['workdir-absolute', 'FROM scratch\nCOPY one /a/\nWORKDIR /a\nCOPY two /b/\nWORKDIR /\nCOPY one .\n'],
  ['workdir-variable', 'FROM scratch\nARG W=/v\nENV S=x\nWORKDIR ${W}/$S\nCOPY one .\n'],
  ['user', 'FROM scratch\nCOPY one /\nARG U=12\nUSER $U:13\n'],
  ['expose', 'FROM scratch\nCOPY one /\nENV P=90\nEXPOSE 80 $P/udp 443/tcp\nEXPOSE 80\n'],
  ['expose-range', 'FROM scratch\nCOPY one /\nEXPOSE 7000-7002\n'],
  ['volume', 'FROM scratch\nCOPY one /\nENV V=/c\nVOLUME /a /b\nVOLUME ["$V", "/d e"]\n'],
  ['stopsignal', 'FROM scratch\nCOPY one /\nSTOPSIGNAL SIGTERM\n'],
  ['stopsignal-number', 'FROM scratch\nCOPY one /\nSTOPSIGNAL 9\n'],
  [
    'healthcheck',
    'FROM scratch\nCOPY one /\nHEALTHCHECK --interval=1m --timeout=5s --start-period=2s --retries=4 CMD one x\n',
  ],
  ['healthcheck-exec', 'FROM scratch\nCOPY one /\nHEALTHCHECK CMD ["one", "x"]\n'],
  ['healthcheck-none', 'FROM scratch\nCOPY one /\nHEALTHCHECK NONE\n'],
  ['maintainer', 'FROM scratch\nCOPY one /\nMAINTAINER Some Body <some@example.com>\n'],
  ['onbuild', 'FROM scratch\nCOPY one /\nONBUILD COPY . /app\nONBUILD ENV A=$B\n'],
  [
    'labels-and-env',
    'FROM scratch\nCOPY one /\nARG X=1\nENV A=$X B="two words" C=a\\ b\nENV D rest of it\nLABEL a=b "c d"="e $A"\n',
  ],
  [
    'build-arg',
    'FROM scratch\nARG X=1\nARG Y\nCOPY one /$X/\nENV Z=$X$Y\n',
    ['--build-arg', 'X=5', '--build-arg', 'Y=6'],
  ],
  ['from-image', 'FROM BASE\n'],
  [
    'from-image-copy',
    'FROM BASE\nCOPY app/run .\nCOPY --chown=app:staff app/conf /etc/app/\nCOPY one /usr/share/conf/\n',
  ],
  [
    'from-image-config',
    'FROM BASE\nENV A=$A-more B=2\nLABEL more=1\nWORKDIR below\nUSER 0\nEXPOSE 81\nVOLUME /more\nCMD ["mine"]\n',
  ],
  ['from-image-entrypoint', 'FROM BASE\nENTRYPOINT ["/new"]\n'],
  ['from-image-entrypoint-cmd', 'FROM BASE\nCMD ["c"]\nENTRYPOINT ["/new"]\n'],
  ['from-image-over', 'FROM BASE\nCOPY two /usr/bin/one\nCOPY app /srv\n'],
  ['from-image-onbuild', 'FROM BASE-onbuild\nENV LAST=$TRIGGERED\n'],
  ['from-arg', 'ARG IMAGE=nothing\nFROM ${IMAGE}\nCOPY one /\n', ['--build-arg', 'IMAGE=BASE']],
  [
    'stages',
    'FROM scratch AS a\nCOPY app /x\nENV A=1\nWORKDIR /w\nFROM a AS b\nCOPY one .\nENV B=$A\nFROM b\nCOPY two .\nENV C=$B\n',
  ],
  [
    'copy-from-stage',
    'FROM scratch AS a\nCOPY --chown=5:6 app /x\nFROM scratch\nCOPY --from=a /x /y\nCOPY --from=0 x/conf/*.conf /z/\nCOPY --from=a /x/run /run\n',
  ],
  [
    'copy-from-stage-chown',
    'FROM scratch AS a\nCOPY --chown=5:6 app /x\nFROM scratch\nCOPY --from=a --chown=7:8 /x /y\nCOPY --from=a --chmod=0640 /x/run /run\n',
  ],
  ['copy-from-image', 'FROM scratch\nCOPY --from=BASE /usr /usr\nCOPY --from=BASE /srv/two /etc/passwd /some/\n'],
  ['copy-from-image-stage', 'FROM BASE AS a\nCOPY one /new\nFROM scratch\nCOPY --from=a / /all/\n'],
  ['target', 'FROM scratch AS a\nCOPY one /\nFROM a AS b\nCOPY two /\nFROM b\nCOPY app /\n', ['--target', 'b']],
  ['add-files', 'FROM scratch\nADD one two /d/\nADD app/conf /conf\nADD --chown=1:2 --chmod=0604 one /owned\n'],
]

describe('the same lines give the same tree and the same config as with buildah', () => {
  it.each(cases.map(([name, lines, flags = []]) => ({ name, lines, flags })))(
    '$name',
    async ({ name, lines, flags }) => {
      const named = (text: string): string =>
        text.replace('BASE-onbuild', `${registry.host}/base:onbuild`).replaceAll('BASE', `${registry.host}/base:1`)
      const theirs = await byBuildah(named(lines), flags.map(named))
      const ours = await byCloudimg(named(lines), flags.map(named))
      const found = [
        ...treeDifferences(ours.tree, theirs.tree).map(one => ({ ...one, path: `${name}:${one.path}` })),
        ...configDifferences(ours, theirs).map(one => ({ ...one, path: `${name}:config` })),
      ]
      expect(found.filter(one => !isKnownEverywhere(one))).toEqual(knownDifferences(name))
    },
  )
})
