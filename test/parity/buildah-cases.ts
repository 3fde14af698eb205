import type { SharedCase } from '../support/shared-case.ts'

const tree = ['a', 'b.txt 0600', 'd/one', 'd/two 0640', 'd/s/three 0755', 'd/s/e/']
const passwd = 'etc/passwd = root:x:0:0::/:/\\napp:x:1000:1001::/:/\\n'
const group = 'etc/group = root:x:0:\\nstaff:x:50:app\\n'

/** Contexts that buildah understands as BuildKit does: built by both and compared entry by entry, config field by field. */
export const buildahCases: readonly SharedCase[] = [
  // Where COPY puts things.
  { name: 'file-to-root', files: tree, lines: 'COPY a /\n' },
  { name: 'file-to-dot', files: tree, lines: 'COPY a .\n' },
  { name: 'file-renamed', files: tree, lines: 'COPY b.txt /c.txt\n' },
  { name: 'file-into-new-directory', files: tree, lines: 'COPY b.txt /x/y/z/\n' },
  { name: 'file-below-new-directories', files: tree, lines: 'COPY a /x/y/z\n' },
  { name: 'file-into-existing-directory', files: tree, lines: 'COPY d /x\nCOPY a /x\n' },
  { name: 'file-over-file', files: tree, lines: 'COPY a /f\nCOPY b.txt /f\n' },
  { name: 'file-twice', files: tree, lines: 'COPY a /f\nCOPY a /g\n' },
  { name: 'directory-contents', files: tree, lines: 'COPY d /x\n' },
  { name: 'directory-contents-slashes', files: tree, lines: 'COPY d/ /x/\n' },
  { name: 'directory-to-root', files: tree, lines: 'COPY d /\n' },
  { name: 'whole-context', files: tree, lines: 'COPY . .\n' },
  { name: 'whole-context-below', files: tree, lines: 'COPY . /app/\n' },
  { name: 'whole-context-by-slash', files: tree, lines: 'COPY / /app/\n' },
  { name: 'directories-merge', files: ['x/a', 'x/s/b', 'y/c', 'y/s/d'], lines: 'COPY x /o\nCOPY y /o\n' },
  {
    name: 'directories-merge-attributes',
    files: ['x/s/ 0700', 'x/s/a', 'y/s/ 0711', 'y/s/b'],
    lines: 'COPY x /o\nCOPY y /o\n',
  },
  { name: 'several-files', files: tree, lines: 'COPY a b.txt d/one /x/\n' },
  { name: 'several-with-a-directory', files: tree, lines: 'COPY a d /x/\n' },
  { name: 'several-to-root', files: tree, lines: 'COPY a b.txt ./\n' },
  { name: 'leading-slash', files: tree, lines: 'COPY /d/one /x/\n' },
  { name: 'leading-dot', files: tree, lines: 'COPY ./d/one ./x/\n' },
  { name: 'dots-inside', files: tree, lines: 'COPY d/../a /x/../y/\n' },
  { name: 'climbing-source', files: tree, lines: 'COPY ../../a /x/\n' },
  { name: 'climbing-target', files: tree, lines: 'COPY a ../../x/\n' },
  { name: 'json-form', files: ['with space', 'plain'], lines: 'COPY ["with space", "plain", "/a b/"]\n' },
  { name: 'json-form-renamed', files: ['with space'], lines: 'COPY ["with space", "/an other"]\n' },
  { name: 'empty-directory', files: ['d/', 'd/e/ 0711'], lines: 'COPY d /x/\n' },
  { name: 'empty-file', files: ['e ='], lines: 'COPY e /x/\n' },
  { name: 'deep', files: ['a/b/c/d/e/f/g/h/i/j/k'], lines: 'COPY a /a\n' },
  { name: 'hidden-files', files: ['d/.x', 'd/.y/z', 'd/..w'], lines: 'COPY d /o\n' },
  { name: 'names-of-all-kinds', files: ['d/ünïcödé', 'd/文件/目录', 'd/-x', 'd/#y', "d/q'uote"], lines: 'COPY d /o\n' },
  { name: 'modes-kept', files: ['d/ 0700', 'd/a 0400', 'd/b 0777', 'd/s/ 1777', 'd/s/c 0000'], lines: 'COPY d /o\n' },

  // Wildcards.
  { name: 'star', files: ['a.c', 'b.c', 'c.h'], lines: 'COPY *.c /o/\n' },
  { name: 'star-all', files: ['a', 'b', 'd/x', 'd/s/y'], lines: 'COPY * /o/\n' },
  { name: 'star-hidden', files: ['.a', 'b'], lines: 'COPY * /o/\n' },
  { name: 'question-mark', files: ['a1', 'a2', 'a12'], lines: 'COPY a? /o/\n' },
  { name: 'class', files: ['a1', 'b1', 'c1'], lines: 'COPY [ab]1 /o/\n' },
  { name: 'class-range', files: ['a1', 'a5', 'a9'], lines: 'COPY a[0-5] /o/\n' },
  { name: 'class-negated', files: ['a1', 'b1', 'c1'], lines: 'COPY [^ab]1 /o/\n' },
  { name: 'star-in-the-middle', files: ['d/x/f', 'd/y/f', 'd/y/g'], lines: 'COPY d/*/g /o/\n' },
  { name: 'stars-at-two-levels', files: ['p/a/x.c', 'p/b/y.c', 'p/b/z.h'], lines: 'COPY p/*/*.c /o/\n' },
  { name: 'star-flattens-directories', files: ['r/bin/x', 'r/etc/y', 'r/z'], lines: 'COPY r/* /o/\n' },
  { name: 'one-match-to-a-name', files: ['x-1.2.tar', 'y'], lines: 'COPY x-*.tar /x.tar\n' },
  { name: 'wildcards-and-names', files: ['a.c', 'b.c', 'd/e'], lines: 'COPY *.c d /o/\n' },

  // Links.
  { name: 'link-to-file-followed', files: ['r 0640', 'l -> r'], lines: 'COPY l /o/\n' },
  { name: 'link-to-directory-followed', files: ['r/a', 'l -> r'], lines: 'COPY l /o/\n' },
  { name: 'link-by-wildcard', files: ['r', 'l1 -> r'], lines: 'COPY l* /o/\n' },
  { name: 'link-in-a-directory-kept', files: ['d/a', 'd/l -> a', 'd/m -> ../x', 'd/n -> /abs'], lines: 'COPY d /o\n' },
  { name: 'link-to-directory-in-a-directory', files: ['d/s/a', 'd/l -> s'], lines: 'COPY d /o\n' },
  { name: 'link-chain', files: ['r', 'l -> m', 'm -> r'], lines: 'COPY l /o/\n' },
  { name: 'link-in-the-way', files: ['d/s/a', 'l -> d/s'], lines: 'COPY l/a /o/\n' },
  { name: 'link-over-file', files: ['x/f', 'y/f -> g'], lines: 'COPY x /o\nCOPY y /o\n' },
  { name: 'target-below-a-link', files: ['x/l -> r', 'x/r/a', 'f'], lines: 'COPY x /o\nCOPY f /o/l/\n' },
  { name: 'target-below-an-absolute-link', files: ['x/l -> /o/r', 'x/r/a', 'f'], lines: 'COPY x /o\nCOPY f /o/l/\n' },
  { name: 'hard-links', files: ['d/a', 'd/b == d/a', 'd/s/c == d/a'], lines: 'COPY d /o\n' },

  // Owners and modes.
  { name: 'chown-numbers', files: tree, lines: 'COPY --chown=5:6 d /o\n' },
  { name: 'chown-number', files: tree, lines: 'COPY --chown=5 a /o/\n' },
  { name: 'chown-large', files: tree, lines: 'COPY --chown=65534:65534 a /o/\n' },
  { name: 'chown-name', files: ['a', passwd, group], lines: 'COPY etc /etc\nCOPY --chown=app:staff a /\n' },
  { name: 'chown-name-and-number', files: ['a', passwd, group], lines: 'COPY etc /etc\nCOPY --chown=app:7 a /\n' },
  { name: 'chown-link', files: ['d/a', 'd/l -> a'], lines: 'COPY --chown=5:6 d /o\n' },
  { name: 'chmod-file', files: tree, lines: 'COPY --chmod=0711 a /\n' },
  { name: 'chmod-three-digits', files: tree, lines: 'COPY --chmod=640 a /\n' },
  { name: 'chmod-several', files: tree, lines: 'COPY --chmod=0600 a b.txt /\n' },
  { name: 'chown-and-chmod', files: tree, lines: 'COPY --chown=1:2 --chmod=0750 a b.txt /\n' },

  // Variables and words.
  { name: 'arg-in-source', files: tree, lines: 'ARG N=one\nCOPY d/$N /o/\n' },
  { name: 'arg-in-target', files: tree, lines: 'ARG N=one\nCOPY a /o/${N}/x\n' },
  { name: 'env-in-both', files: tree, lines: 'ENV S=a T=/t\nCOPY $S $T/\n' },
  { name: 'build-arg-in-target', files: tree, lines: 'ARG N=one\nCOPY a /$N\n', buildArgs: { N: 'two' } },
  { name: 'build-arg-without-default', files: tree, lines: 'ARG N\nCOPY a /x$N\n', buildArgs: { N: 'y' } },
  { name: 'env-before-the-line', files: tree, lines: 'ENV A=1\nENV A=2 B=$A\nCOPY a /$B\n' },
  { name: 'env-beats-arg', files: tree, lines: 'ARG A=arg\nENV A=env\nCOPY a /$A\n' },
  { name: 'default-value', files: tree, lines: 'COPY a /${U:-x}\n' },
  { name: 'alternative-value', files: tree, lines: 'ENV U=1\nCOPY a /x${U:+y}\n' },
  { name: 'escaped-variable', files: tree, lines: 'ENV U=1\nCOPY a /x\\$U\n' },
  { name: 'env-quotes', files: tree, lines: 'ENV A="x y" B=\'$A\' C="$A" D=e\\ f\nCOPY a /\nENV E="${A}-$B"\n' },
  { name: 'env-legacy', files: tree, lines: 'ENV A all of the line\nENV B $A too\nCOPY a /\n' },
  { name: 'arg-from-arg', files: tree, lines: 'ARG A=1\nARG B=$A-2\nCOPY a /$B\n' },
  { name: 'global-arg', files: tree, lines: 'ARG V=1\nFROM scratch\nARG V\nCOPY a /x$V\nENV W=$V\n' },
  { name: 'continuations', files: tree, lines: 'COPY a \\\n  b.txt \\\n  /o/\nENV A=1 \\\n  B=2\n' },
  { name: 'comments-in-continuations', files: tree, lines: '# one\nCOPY a \\\n# two\n  b.txt \\\n  # three\n  /o/\n' },
  { name: 'lower-case', files: tree, lines: 'from scratch\ncopy a /\nenv A=1\nlabel b=c\n' },
  { name: 'carriage-returns', files: tree, lines: 'FROM scratch\r\nCOPY a /o/\r\nENV A=1\r\n' },
  { name: 'escape-directive', files: tree, lines: '# escape=`\nFROM scratch\nCOPY a `\n  b.txt /o/\n' },
  { name: 'blanks-and-tabs', files: tree, lines: '  COPY\ta \t b.txt   /o/  \n' },
  { name: 'no-final-newline', files: tree, lines: 'FROM scratch\nCOPY a /' },

  // WORKDIR.
  { name: 'workdir-and-dot', files: tree, lines: 'WORKDIR /w\nCOPY a .\n' },
  { name: 'workdir-relative-target', files: tree, lines: 'WORKDIR /w\nCOPY a x/\nCOPY b.txt ../y\n' },
  { name: 'workdir-whole-context', files: tree, lines: 'WORKDIR /w/x\nCOPY . ./\n' },
  { name: 'workdir-twice', files: tree, lines: 'WORKDIR /w\nWORKDIR x\nCOPY a .\nWORKDIR /y\nCOPY a .\n' },
  { name: 'workdir-that-is-there', files: ['d/ 0700', 'd/a'], lines: 'COPY d /w\nWORKDIR /w\nCOPY d/a b\n' },

  // Stages.
  { name: 'stage-by-name', files: tree, lines: 'FROM scratch AS s\nCOPY d /x\nFROM scratch\nCOPY --from=s /x /y\n' },
  { name: 'stage-by-number', files: tree, lines: 'FROM scratch\nCOPY d /x\nFROM scratch\nCOPY --from=0 /x /y\n' },
  {
    name: 'stage-wildcard',
    files: ['x1', 'x2', 'y'],
    lines: 'FROM scratch AS s\nCOPY . /x/\nFROM scratch\nCOPY --from=s /x/x* /o/\n',
  },
  {
    name: 'stage-link-followed',
    files: ['d/r', 'd/l -> r'],
    lines: 'FROM scratch AS s\nCOPY d /x\nFROM scratch\nCOPY --from=s /x/l /o/\n',
  },
  {
    name: 'stage-owners-kept',
    files: tree,
    lines: 'FROM scratch AS s\nCOPY --chown=5:6 d /x\nFROM scratch\nCOPY --from=s / /\n',
  },
  {
    name: 'stage-on-stage',
    files: tree,
    lines: 'FROM scratch AS s\nENV A=1\nWORKDIR /w\nCOPY a .\nFROM s\nCOPY b.txt .\nENV B=$A\n',
  },
  {
    name: 'three-stages',
    files: tree,
    lines:
      'FROM scratch AS x\nCOPY a /a\nFROM scratch AS y\nCOPY b.txt /b\nFROM scratch\nCOPY --from=x /a /o/\nCOPY --from=y /b /o/\n',
  },
  { name: 'target-stage', files: tree, lines: 'FROM scratch AS s\nCOPY a /\nFROM s\nCOPY d /\n', target: 's' },

  // Ignore files.
  { name: 'ignore-names', files: ['.dockerignore = a\\nd/x\\n', 'a', 'b', 'd/x', 'd/y'], lines: 'COPY . /o/\n' },
  { name: 'ignore-folder', files: ['.dockerignore = d\\n', 'a', 'd/x', 'd/s/y'], lines: 'COPY . /o/\n' },
  {
    name: 'ignore-stars',
    files: ['.dockerignore = *.log\\n*/*.tmp\\n', 'a.log', 'b', 'd/c.tmp', 'd/e.log'],
    lines: 'COPY . /o/\n',
  },
  {
    name: 'ignore-two-stars',
    files: ['.dockerignore = **/*.log\\n', 'a.log', 'd/b.log', 'd/s/c.log', 'd/e'],
    lines: 'COPY . /o/\n',
  },
  { name: 'ignore-exception', files: ['.dockerignore = *.md\\n!R.md\\n', 'R.md', 'S.md', 'f'], lines: 'COPY . /o/\n' },
  { name: 'ignore-comments', files: ['.dockerignore = # b\\n\\na\\n', 'a', 'b'], lines: 'COPY . /o/\n' },

  // ADD.
  { name: 'add-file', files: tree, lines: 'ADD a b.txt /o/\n' },
  { name: 'add-directory', files: tree, lines: 'ADD d /o\n' },
  { name: 'add-wildcard', files: tree, lines: 'ADD *.txt /o/\n' },
  { name: 'add-chown', files: tree, lines: 'ADD --chown=5:6 d /o\n' },

  // What says how containers run.
  { name: 'config-labels', files: tree, lines: 'COPY a /\nLABEL a=b c="d e"\nLABEL a=f "g h"=i\\ j\n' },
  { name: 'config-cmd-exec', files: tree, lines: 'COPY a /\nCMD ["/a", "b c"]\n' },
  { name: 'config-cmd-shell', files: tree, lines: 'COPY a /\nENV X=1\nCMD echo "$X"\n' },
  { name: 'config-cmd-twice', files: tree, lines: 'COPY a /\nCMD one\nCMD two\n' },
  { name: 'config-entrypoint', files: tree, lines: 'COPY a /\nENTRYPOINT ["/a"]\nCMD ["x"]\n' },
  { name: 'config-user', files: tree, lines: 'COPY a /\nUSER 1000\nUSER app:staff\n' },
  { name: 'config-expose', files: tree, lines: 'COPY a /\nEXPOSE 80 443/tcp 53/udp\n' },
  { name: 'config-volume', files: tree, lines: 'COPY a /\nVOLUME /data /more\n' },
  { name: 'config-stopsignal', files: tree, lines: 'COPY a /\nSTOPSIGNAL SIGINT\n' },
  { name: 'config-healthcheck', files: tree, lines: 'COPY a /\nHEALTHCHECK --interval=30s --retries=2 CMD ["/a"]\n' },
  { name: 'config-onbuild', files: tree, lines: 'COPY a /\nONBUILD COPY . /src\nONBUILD ENV A=1\n' },
  { name: 'config-maintainer', files: tree, lines: 'COPY a /\nMAINTAINER Some One <one@example.com>\n' },
  {
    name: 'config-of-a-stage',
    files: tree,
    lines:
      'FROM scratch AS s\nCOPY a /\nLABEL a=1 b=2\nENV A=1\nUSER 5\nEXPOSE 80\nCMD ["x"]\nFROM s\nLABEL b=3\nENV B=$A\nEXPOSE 81\n',
  },
]
