import { chmodSync, linkSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** One rule of COPY: what the context has for it, below a folder of the case's own, and the lines that copy it to `/<name>/`. */
export interface ParityCase {
  readonly name: string
  readonly make: (at: ContextWriter) => void
  readonly lines: readonly string[]
}

interface ContextWriter {
  file(path: string, content?: string, mode?: number): void
  directory(path: string, mode?: number): void
  symlink(path: string, target: string): void
  hardlink(path: string, of: string): void
}

const long = (letter: string, length: number): string => letter.repeat(length)

/** Built by cloudimg and by buildah, and compared entry by entry. */
export const parityCases: readonly ParityCase[] = [
  {
    name: 'modes',
    make: at => {
      for (const mode of [0o400, 0o600, 0o644, 0o640, 0o755, 0o777]) at.file(`file-${mode.toString(8)}`, 'x', mode)
      for (const mode of [0o4755, 0o2755, 0o6711, 0o1644]) at.file(`special-${mode.toString(8)}`, 'x', mode)
      for (const mode of [0o700, 0o750, 0o1777, 0o2775]) at.directory(`directory-${mode.toString(8)}`, mode)
    },
    lines: ['COPY modes/ /modes/'],
  },
  {
    name: 'links',
    make: at => {
      at.file('real/file', 'behind a link')
      at.symlink('relative', 'real/file')
      at.symlink('absolute', '/etc/hostname')
      at.symlink('dangling', 'no/such/thing')
      at.symlink('to-directory', 'real')
      at.symlink('real/upwards', '../relative')
      at.symlink('unicode', 'zïel/文件')
      at.symlink('long', `${long('t', 120)}/${long('u', 120)}`)
    },
    lines: ['COPY links/ /links/'],
  },
  {
    name: 'links-followed',
    make: at => {
      at.file('real/file', 'behind a link', 0o640)
      at.symlink('file-link', 'real/file')
      at.symlink('directory-link', 'real')
    },
    lines: [
      'COPY links-followed/file-link /links-followed/copied',
      'COPY links-followed/directory-link /links-followed/directory/',
      'COPY links-followed/file-* /links-followed/by-wildcard/',
    ],
  },
  {
    name: 'hardlinks',
    make: at => {
      at.file('one', 'shared by three names')
      at.hardlink('two', 'one')
      at.hardlink('below/three', 'one')
    },
    lines: ['COPY hardlinks /hardlinks'],
  },
  {
    name: 'empty',
    make: at => {
      at.directory('nothing', 0o711)
      at.directory('nested/nothing/at/all')
      at.file('file', '')
    },
    lines: ['COPY empty/ /empty/'],
  },
  {
    name: 'names',
    make: at => {
      for (const name of ['with space', ' leading', 'trailing ', "quo'te", 'quo"te', '-dash', '--flag=x', '#hash']) {
        at.file(name, name)
      }
      for (const name of [
        'ünïcödé',
        '文件/目录',
        '🚢',
        'a\\b',
        'new\nline',
        'tab\there',
        '$HOME',
        '*',
        '[x]',
        '.hidden',
      ]) {
        at.file(name, name)
      }
    },
    lines: ['COPY names/ /names/', 'COPY ["names/with space", "/names/again/with space"]'],
  },
  {
    name: 'long',
    make: at => {
      at.file(`${long('a', 99)}/b`, '99')
      at.file(`${long('a', 100)}/b`, '100')
      at.file(`${long('a', 60)}/${long('b', 60)}/${long('c', 60)}`, 'prefix and name')
      at.file(long('d', 250), 'a name that fills a directory entry')
      at.file(`${long('e', 200)}/${long('f', 200)}/${long('g', 200)}/${long('h', 200)}`, 'beyond 255')
      at.directory(`${long('i', 155)}/${long('j', 120)}`)
      at.file(`${long('ü', 60)}/${long('ß', 60)}`, 'beyond 100 in bytes')
    },
    lines: ['COPY long/ /long/'],
  },
  {
    name: 'wildcards',
    make: at => {
      for (const name of ['a.yaml', 'b.yaml', 'c.yml', 'a1', 'a2', 'b1', 'star*', 'sub/deep.yaml']) at.file(name, name)
    },
    lines: [
      'COPY wildcards/*.yaml /wildcards/yaml/',
      'COPY wildcards/?[12] /wildcards/set/',
      'COPY wildcards/[^ab]* /wildcards/not/',
      'COPY wildcards/star\\* /wildcards/escaped/',
      'COPY wildcards/*/*.yaml /wildcards/below/',
    ],
  },
  {
    name: 'flattened',
    make: at => {
      at.file('rootfs/bin/tool', 'tool', 0o755)
      at.file('rootfs/etc/config', 'config')
      at.file('rootfs/top', 'top')
    },
    lines: ['COPY flattened/rootfs/* /flattened/'],
  },
  {
    name: 'owners',
    make: at => {
      at.file('script', '#!/bin/sh\n', 0o600)
      at.file('below/file', 'x', 0o600)
      at.directory('below/directory', 0o700)
      at.symlink('below/link', 'file')
    },
    lines: [
      'COPY --chown=1000:2000 owners/ /owners/both/',
      'COPY --chown=1234 owners/below /owners/user',
      'COPY --chown=7:8 --chmod=0750 owners/script /owners/new/parents/script',
      'COPY --chmod=0644 owners/script /owners/mode',
      'COPY --chmod=0755 owners/below/ /owners/chmodded/',
    ],
  },
  {
    name: 'ignored',
    make: at => {
      for (const name of [
        'kept',
        'build/out.o',
        'build/keep.me',
        'deep/er/x.log',
        'x.log',
        'docs/a.md',
        'docs/README.md',
      ]) {
        at.file(name, name)
      }
    },
    lines: ['COPY ignored/ /ignored/'],
  },
  {
    name: 'over',
    make: at => {
      at.file('first/etc/a', 'first', 0o600)
      at.file('first/etc/b', 'first')
      at.file('first/etc/deep/c', 'first')
      at.directory('second/etc', 0o750)
      at.file('second/etc/b', 'second', 0o755)
      at.file('second/etc/deep/d', 'second')
      at.symlink('second/etc/a', 'b')
    },
    lines: ['COPY over/first/ /over/', 'COPY over/second/ /over/'],
  },
  {
    name: 'several',
    make: at => {
      at.file('one', '1')
      at.file('two', '2')
      at.file('folder/three', '3')
    },
    lines: [
      'COPY several/one several/two several/folder /several/',
      'COPY several/one /several/renamed/as/uno',
      'COPY several/one several/renamed/',
      'COPY several/folder several/new-folder',
    ],
  },
  {
    name: 'many',
    make: at => {
      for (let i = 0; i < 5000; i++) at.file(`${i % 50}/${Math.floor(i / 50)}.conf`, `number ${i}\n`)
    },
    lines: ['COPY many/ /many/'],
  },
]

/** `.dockerignore` of the corpus; it speaks of the case `ignored` only. */
export const parityIgnore = `# comment
ignored/build
!ignored/build/keep.me
ignored/**/*.log
/ignored/docs/*.md
!ignored/docs/README.md
`

export function writeParityContext(root: string): void {
  mkdirSync(root, { recursive: true })
  writeFileSync(join(root, '.dockerignore'), parityIgnore)
  for (const { name, make } of parityCases) {
    const base = join(root, name)
    const modes: (readonly [path: string, mode: number])[] = []
    mkdirSync(base)
    modes.push([base, 0o755])
    const parent = (path: string): string => {
      mkdirSync(dirname(join(base, path)), { recursive: true })
      return join(base, path)
    }
    make({
      file: (path, content = '', mode = 0o644) => {
        writeFileSync(parent(path), content)
        modes.push([join(base, path), mode])
      },
      directory: (path, mode = 0o755) => {
        mkdirSync(parent(path), { recursive: true })
        modes.push([join(base, path), mode])
      },
      symlink: (path, target) => symlinkSync(target, parent(path)),
      hardlink: (path, of) => linkSync(join(base, of), parent(path)),
    })
    // After everything is written, and whatever the umask is.
    for (const [path, mode] of modes) chmodSync(path, mode)
  }
}
