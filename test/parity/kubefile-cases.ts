import type { SharedCase } from '../support/shared-case.ts'

type Wishes = Pick<SharedCase, 'buildArgs' | 'target'>
type Row = readonly [name: string, lines: string, wishes?: Wishes]

/** path, content, mode */
export const kubefileContext: readonly string[] = [
  'app/run 0755 = #!/bin/sh\\n',
  'app/conf/ 0750',
  'app/conf/a.conf = a',
  'app/conf/b.conf 0600 = b',
  'app/readme.md = read',
  'app/docs/deep.md = deep',
  'etc/passwd = root:x:0:0::/:/\\napp:x:1000:1001::/:/\\n',
  'etc/group = root:x:0:\\nstaff:x:50:\\n',
  'one = 1',
  'two 4711 = 2',
]

const rows: readonly Row[] = [
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
  ['build-arg', 'FROM scratch\nARG X=1\nARG Y\nCOPY one /$X/\nENV Z=$X$Y\n', { buildArgs: { X: '5', Y: '6' } }],
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
  ['from-arg', 'ARG IMAGE=nothing\nFROM ${IMAGE}\nCOPY one /\n', { buildArgs: { IMAGE: 'BASE' } }],
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
  ['target', 'FROM scratch AS a\nCOPY one /\nFROM a AS b\nCOPY two /\nFROM b\nCOPY app /\n', { target: 'b' }],
  ['add-files', 'FROM scratch\nADD one two /d/\nADD app/conf /conf\nADD --chown=1:2 --chmod=0604 one /owned\n'],
]

/** Every instruction, stages and base images. `BASE` stands for the image in the registry. */
export const kubefileCases: readonly SharedCase[] = rows.map(([name, lines, wishes]) => ({
  name,
  files: kubefileContext,
  lines,
  ...wishes,
}))
