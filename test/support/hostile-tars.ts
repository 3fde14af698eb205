import { base256, gnuLong, pax, rawEntry, rawHeader, rawTar } from './raw-tar.ts'

/** A tar that means no good, named by its advisory or by what it tries. */
export interface HostileTar {
  readonly name: string
  readonly tar: Buffer
  /** The error's code where it is refused … */
  readonly refused?: 'UNSAFE_ARCHIVE' | 'ARCHIVE_INVALID' | 'IMAGE_INVALID'
  /** … with this in its message. */
  readonly why?: RegExp
  /** What is unpacked instead, below the target: `path`, `path/` or `path -> target`. */
  readonly unpacks?: readonly string[]
}

const file = (name: string | Buffer, content = 'evil'): Buffer => rawEntry({ name }, content)
const folder = (name: string): Buffer => rawEntry({ name, type: '5', mode: 0o755 })
const symlink = (name: string, link: string): Buffer => rawEntry({ name, type: '2', link })
const hardlink = (name: string, link: string | Buffer): Buffer => rawEntry({ name, type: '1', link })
const latin = Buffer.from([0x66, 0xfc, 0x72])

/** `outside` is a directory beside the target, by its absolute path: `secret` in it must stay as it is. */
export function hostileTars(outside: string): readonly HostileTar[] {
  const inside = outside.slice(1)
  const below = (leaf: string): string[] => {
    const parts = `${inside}/${leaf}`.split('/')
    return parts.map((_, i) => parts.slice(0, i + 1).join('/') + (i < parts.length - 1 ? '/' : ''))
  }
  const refused = (
    code: NonNullable<HostileTar['refused']>,
    why: RegExp,
    cases: Readonly<Record<string, readonly Buffer[]>>,
  ): HostileTar[] => Object.entries(cases).map(([name, parts]) => ({ name, tar: rawTar(...parts), refused: code, why }))
  const harmless = (name: string, parts: readonly Buffer[], unpacks: readonly string[]): HostileTar => ({
    name,
    tar: rawTar(...parts),
    unpacks,
  })
  return [
    ...refused('UNSAFE_ARCHIVE', /leads outside/, {
      'CVE-2007-4559: .. in a path': [file('../outside/secret')],
      'CVE-2018-1002200 (zip slip): .. in the middle': [folder('a'), file('a/../../outside/secret')],
      'CVE-2001-1267: /.. at the start': [file('/../outside/secret')],
      '.. in the prefix field': [rawEntry({ name: 'secret', prefix: '../outside' }, 'evil')],
      '.. in a GNU long name': [gnuLong('L', '../outside/secret'), file('good')],
      '.. in a PAX path': [pax({ path: '../outside/secret' }), file('good')],
      '.. in a directory': [folder('../outside/')],
      '.. in a symlink’s place': [symlink('../outside/link', 'x')],
      '.. in a whiteout’s path': [file('../outside/.wh.secret', '')],
      'CVE-2024-12905: a hard link to ..': [hardlink('x', '../outside/secret')],
      'CVE-2026-24842: a hard link to .. that is inside only from where it stands': [
        file('d/good'),
        hardlink('d/e/x', '../../d/good'),
      ],
      '.. in a PAX linkpath': [pax({ linkpath: '../outside/secret' }), hardlink('x', 'good')],
      '.. in a GNU long link': [gnuLong('K', '../outside/secret'), hardlink('x', 'good')],
    }),
    ...refused('UNSAFE_ARCHIVE', /in the place of the root/, {
      'a symlink in the place of the root': [symlink('.', outside), file('secret')],
      'a file in the place of the root': [file('.')],
      'an entry without a name': [file('')],
      'a hard link in the place of the root': [file('a'), hardlink('.', 'a')],
    }),
    ...refused('UNSAFE_ARCHIVE', /NUL/, {
      'a NUL in a PAX path': [pax({ path: 'good\0/../../outside/secret' }), file('good')],
      'a NUL in a PAX linkpath': [pax({ linkpath: 'good\0x' }), symlink('l', 'x')],
    }),
    ...refused('UNSAFE_ARCHIVE', /more than|circles/, {
      'links in circles': [symlink('a', 'b'), symlink('b', 'a'), file('a/x')],
      'a link to itself': [symlink('a', 'a'), file('a/x')],
      'a name of 256 bytes': [pax({ path: 'n'.repeat(256) }), file('good')],
      'a path of 5000 bytes': [pax({ path: 'a/'.repeat(2500) }), file('good')],
      'a link target of 5000 bytes': [pax({ linkpath: 'a/'.repeat(2500) }), symlink('l', 'x')],
      'directories deeper than a path, by links': deepByLinks(),
      'an extended header of 2 MiB': [pax({ comment: 'x'.repeat(2 * 1024 * 1024) }), file('good')],
    }),
    ...refused('ARCHIVE_INVALID', /not UTF-8/, {
      'a name that is not UTF-8': [file(latin)],
      'two names that would become one': [file(Buffer.from([0xff])), file(Buffer.from([0xfe]))],
      'a PAX path that is not UTF-8': [pax({ path: latin }), file('good')],
      'a GNU long name that is not UTF-8': [gnuLong('L', latin), file('good')],
      'a link target that is not UTF-8': [rawEntry({ name: 'l', type: '2', link: latin })],
      'an overlong dot-dot (CVE-2000-0884)': [file(Buffer.from([0xc0, 0xae, 0xc0, 0xae, 0x2f, 0x78]))],
    }),
    ...refused('ARCHIVE_INVALID', /size|number|PAX/, {
      'a negative size': [rawHeader({ name: 'a', size: base256(-512n, 12) }), file('b')],
      'a size beyond all numbers': [rawHeader({ name: 'a', size: base256(2n ** 80n, 12) })],
      'a size that is no number': [rawHeader({ name: 'a', size: Buffer.from('no number!!\0') })],
      'no size': [rawHeader({ name: 'a', size: Buffer.alloc(12) })],
      'a negative size of an extended header': [rawHeader({ name: 'x', type: 'x', size: base256(-1n, 12) }), file('a')],
      'a negative PAX size': [pax({ size: '-1' }), file('a')],
      'a PAX size with a point': [pax({ size: '1.5' }), file('a')],
      'a PAX size in hex': [pax({ size: '0x10' }), file('a')],
      'a PAX size that is infinite': [pax({ size: '1e999' }), file('a')],
      'an empty PAX size': [pax({ size: '' }), file('a')],
      'a PAX record that is too long': [pax('99 path=x\n'), file('a')],
      'a PAX record of no length': [pax('0 path=x\n'), file('a')],
      'a PAX record that does not end': [pax('9 path=xy'), file('a')],
      'a PAX record without =': [pax('9 pathxy\n'), file('a')],
      'a PAX record of negative length': [pax('-9 path=x\n'), file('a')],
    }),
    ...refused('ARCHIVE_INVALID', /belongs to/, {
      'a negative owner': [rawEntry({ name: 'a', uid: base256(-2n, 8) })],
      'the owner that means none (uid 2^32-1)': [rawEntry({ name: 'a', uid: base256(2n ** 32n - 1n, 8) })],
      'a PAX owner of 2^40': [pax({ uid: String(2 ** 40) }), file('a')],
    }),
    ...refused('ARCHIVE_INVALID', /sparse|unsupported type/, {
      'a sparse file of GNU’s old form': [rawEntry({ name: 'a', type: 'S', magic: 'ustar  \0' })],
      'a sparse file of PAX form': [pax({ 'GNU.sparse.major': '1', 'GNU.sparse.realsize': '9999999999' }), file('a')],
      'a volume label': [rawEntry({ name: 'a', type: 'V' })],
      'a file of several volumes': [rawEntry({ name: 'a', type: 'M' })],
      'a GNU rename entry': [rawEntry({ name: 'a', type: 'N' }, 'Rename a to ../outside/x\n')],
      'a GNU dump directory': [rawEntry({ name: 'a', type: 'D' })],
      'a type that nobody knows': [rawEntry({ name: 'a', type: 'Q' })],
    }),
    ...refused('ARCHIVE_INVALID', /checksum|ends/, {
      'a wrong checksum': [rawEntry({ name: 'a', broken: true }), Buffer.alloc(0)],
      'a file that is longer than the archive': [rawHeader({ name: 'a', size: 1_000_000 })],
      'text behind the first entry': [file('a'), Buffer.alloc(512, 'x')],
    }),
    ...refused('IMAGE_INVALID', /hard link/, {
      'a hard link through a symlink that leads out': [symlink('l', '../../outside'), hardlink('h', 'l/secret')],
      'CVE-2026-23745: a hard link to an absolute path': [hardlink('h', `${outside}/secret`)],
      'a hard link to itself': [hardlink('h', 'h')],
      'a hard link to a directory': [folder('d'), hardlink('h', 'd')],
      'a hard link to what comes later': [hardlink('h', 'a'), file('a')],
      'a hard link to the root': [hardlink('h', '/')],
    }),
    ...refused('IMAGE_INVALID', /whiteout|below/, {
      'a whiteout without a name': [file('.wh.', '')],
      'a whiteout of .': [file('.wh..', '')],
      'a whiteout of ..': [file('.wh...', '')],
      'a file below a file': [file('a'), file('a/b')],
      'a file below a device': [rawEntry({ name: 'a', type: '3', device: [1, 3] }), file('a/b')],
    }),
    harmless('an absolute path lands inside, as with tar', [file(`${outside}/secret`)], below('secret')),
    harmless(
      'CVE-2018-15664: a symlink that leads out is followed inside only',
      [symlink('link', '../../../outside'), file('link/secret')],
      ['link -> ../../../outside', 'outside/', 'outside/secret'],
    ),
    harmless(
      'a symlink to an absolute path is followed inside only',
      [symlink('link', outside), file('link/secret')],
      [...below('secret'), `link -> ${outside}`],
    ),
    harmless(
      'CVE-2021-32803: a directory that becomes a symlink',
      [folder('d'), symlink('d', '../outside'), file('d/secret')],
      ['d -> ../outside', 'outside/', 'outside/secret'],
    ),
    harmless(
      'CVE-2021-37701: a symlink that becomes a directory',
      [symlink('d', '../outside'), folder('d'), file('d/secret')],
      ['d/', 'd/secret'],
    ),
    harmless(
      'CVE-2021-37712: names that differ in case or in Unicode’s form alone are two',
      [
        symlink('link', '../outside'),
        file('LINK/secret'),
        symlink('caf\u00e9', '../outside'),
        file('cafe\u0301/secret'),
      ],
      ['LINK/', 'LINK/secret', 'cafe\u0301/', 'cafe\u0301/secret', 'caf\u00e9 -> ../outside', 'link -> ../outside'],
    ),
    harmless(
      'a file through a symlink to a file that leads out',
      [symlink('s', '../outside/secret'), file('s')],
      ['s'],
    ),
    harmless('the same path twice: the last one, as with docker', [file('a', 'first'), file('a', 'second')], ['a']),
    harmless(
      'a hard link to a symlink is the symlink',
      [symlink('s', '../outside/secret'), hardlink('h', 's')],
      ['h -> ../outside/secret', 's -> ../outside/secret'],
    ),
    harmless(
      'a whiteout through a symlink that leads out touches nothing there',
      [symlink('l', outside), file('l/.wh.secret', ''), file('l/.wh..wh..opq', '')],
      [...below('x').slice(0, -1), `l -> ${outside}`],
    ),
    harmless('a NUL and a line feed in a name end it at the NUL', [file('good\0\n/../../outside/secret')], ['good']),
    harmless(
      'CVE-2025-62518: a PAX size over a plain size of 0 hides nothing',
      [
        pax({ size: '1024' }),
        Buffer.concat([
          rawHeader({ name: 'outer', size: 0 }),
          rawHeader({ name: 'smuggled', size: 4 }),
          Buffer.alloc(512),
        ]),
      ],
      ['outer'],
    ),
    harmless('a global PAX path holds for nothing', [pax({ path: '../outside/secret' }, 'g'), file('good')], ['good']),
    harmless(
      'sizes of what has no content are passed over, as in Go',
      [
        rawHeader({ name: 'd', type: '5', size: 512 }),
        rawHeader({ name: 'l', type: '2', link: 'x', size: 512 }),
        file('a'),
      ],
      ['a', 'd/', 'l -> x'],
    ),
    harmless(
      'attributes that would steer an overlay are left out',
      [pax({ 'SCHILY.xattr.trusted.overlay.redirect': '/outside' }), folder('d')],
      ['d/'],
    ),
    harmless(
      'devices, as root; left out with a warning for others',
      [
        rawEntry({ name: 'null', type: '3', device: [1, 3] }),
        rawEntry({ name: 'whiteout', type: '3', device: [0, 0] }),
        rawEntry({ name: 'disk', type: '4', device: [8, 0] }),
        hardlink('again', 'null'),
        rawEntry({ name: 'pipe', type: '6' }),
      ],
      ['again', 'disk', 'null', 'pipe', 'whiteout'],
    ),
  ]
}

function deepByLinks(): readonly Buffer[] {
  const deep = 'd/'.repeat(1500)
  return [
    pax({ path: `${deep}x` }),
    file('x'),
    pax({ linkpath: deep }),
    symlink('l', 'x'),
    pax({ path: `l/${deep}y` }),
    file('y'),
  ]
}
