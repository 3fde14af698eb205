import { expect } from 'vitest'
import { gzipSync } from 'node:zlib'
import { dockerArchiveOf, ociArchiveOf, zstdWithWindow } from '../tiny-archives.ts'
import {
  before,
  imagesDir,
  journalOf,
  namesOn,
  untilJournalSays,
  untilReadyIs,
  type Bench,
  type Chapter,
} from './bench.ts'

const full = (name: string): Readonly<Record<string, string>> => ({ 'io.containerd.image.name': name })

/** What lies in agent/images at the restart, by file name. */
async function strangeArchives(): Promise<Readonly<Record<string, Buffer | string>>> {
  const large = ociArchiveOf('large', full('docker.io/example/large-window:1'))
  return {
    '10-zstd.tar.zst': await zstdWithWindow(ociArchiveOf('z', full('docker.io/example/zstd:1')), 25),
    '11-gzip.TAR.GZ': gzipSync(ociArchiveOf('g', full('docker.io/example/gzip:1'))),
    '12-window.tar.zst': await zstdWithWindow(large, 27),
    '13-xz.tar.xz': ociArchiveOf('x', full('docker.io/example/xz:1')),
    '14-broken.tar': 'this is no archive',
    '15-cut.tar': ociArchiveOf('cut', full('docker.io/example/cut:1')).subarray(0, 3000),
    '16-short.tar': dockerArchiveOf('short', 'example-short'),
    '17-unnamed.tar': dockerArchiveOf('unnamed', undefined),
    '18-refname.tar': ociArchiveOf('refname', { 'org.opencontainers.image.ref.name': '1.37.0' }),
    '19-pulled.txt': 'docker.io/example/nowhere:1\n',
    'a-after.tar': ociArchiveOf('after', full('docker.io/example/after:1')),
    'B-before.tar': ociArchiveOf('before', full('docker.io/example/before:1')),
  }
}

async function importByHand(
  bench: Bench,
  archive: Buffer,
  flags = '',
): Promise<{ readonly code: number; readonly said: string }> {
  const { code, stdout, stderr } = await bench.server.exec(`k3s ctr -n k8s.io images import ${flags} -`, {
    input: archive,
  })
  return { code, said: stdout + stderr }
}

export const images: Chapter = {
  title: 'images',
  rows: [
    {
      fact: 'k3s-observed.md 1; k3s.md §4.4',
      claim: 'ctr images import works at once; the name is the annotation io.containerd.image.name',
      run: async bench => {
        const { code } = await importByHand(bench, ociArchiveOf('byhand', full('docker.io/example/byhand:1')))
        expect(code).toBe(0)
        expect(await namesOn(bench.server)).toContain('docker.io/example/byhand:1')
        expect(await bench.server.must('k3s crictl images')).toMatch(/docker.io\/example\/byhand +1 /)
      },
    },
    {
      fact: 'k3s.md §4.4',
      claim: 'ctr images label sets the pin',
      run: async ({ server }) => {
        const ctr = 'k3s ctr -n k8s.io images'
        await server.must(`${ctr} label docker.io/example/byhand:1 io.cri-containerd.pinned=pinned`)
        expect(await server.must(`${ctr} ls name==docker.io/example/byhand:1`)).toContain(
          'io.cri-containerd.pinned=pinned',
        )
      },
    },
    {
      fact: 'DEPLOY.md "Images"',
      claim: 'a name with a digest is one more name of the same image',
      run: async bench => {
        const name = `docker.io/example/byhand@sha256:${'1'.repeat(64)}`
        expect((await importByHand(bench, ociArchiveOf('byhand', full(name)))).code).toBe(0)
        expect(await namesOn(bench.server)).toEqual(expect.arrayContaining([name, 'docker.io/example/byhand:1']))
      },
    },
    {
      fact: 'k3s.md §4.4',
      claim: 'ctr images import takes no compressed archive before containerd 2',
      not: before('1.31.6 1.32.2'),
      run: async bench => {
        const { code } = await importByHand(bench, gzipSync(ociArchiveOf('zipped', full('docker.io/example/zipped:1'))))
        expect(code).not.toBe(0)
        expect(await namesOn(bench.server)).not.toContain('docker.io/example/zipped:1')
      },
    },
    {
      fact: 'k3s.md §4.1',
      claim: 'what is no image archive is refused',
      run: async bench => {
        const { code, said } = await importByHand(bench, Buffer.from('no archive'))
        expect(code).toBe(1)
        expect(said).toContain('ctr: ')
      },
    },
    {
      fact: 'k3s.md §4.1; k3s-observed.md 6',
      claim: 'a flipped byte inside a blob makes the import fail: content digest not found',
      run: async bench => {
        const flipped = Buffer.from(ociArchiveOf('flipped', full('docker.io/example/flipped:1')))
        // The layer's tar is the second file: header of oci-layout, its block, header of the blob, header inside the blob.
        const at = 4 * 512 + 100
        flipped[at] = (flipped[at] ?? 0) ^ 1
        const { code, said } = await importByHand(bench, flipped)
        expect(code).toBe(1)
        expect(said).toMatch(/sha256:[0-9a-f]{64}.*not found/)
      },
    },
    {
      fact: 'seen on v1.21.2',
      claim: 'ctr images rm removes a name; a missing one is only a warning',
      run: async ({ server }) => {
        await server.must('k3s ctr -n k8s.io images rm docker.io/example/byhand:1 docker.io/example/nobody:1')
        expect((await server.exec('k3s crictl images')).stdout).not.toMatch(/example\/byhand +1 /)
      },
    },
    {
      fact: 'k3s-observed.md 2; k3s.md §4.2',
      claim: 'a restart imports what lies in agent/images; broken files are log lines, and the node becomes Ready',
      run: async bench => {
        const { server } = bench
        for (const [name, content] of Object.entries(await strangeArchives()))
          await server.put(`${imagesDir}/${name}`, content)
        await server.must('systemctl stop k3s; systemctl start --no-block k3s')
        // The last file in byte order is imported after all others.
        await untilJournalSays(bench, server, 'k3s', /Imported docker\.io\/example\/after:1/)
        await untilReadyIs(bench, server, 'True')
      },
    },
    {
      fact: 'k3s-observed.md 3; k3s.md §4.1',
      claim: 'suffixes decide: .tar, .tar.gz in any case and .tar.zst are read, .tar.xz is ignored',
      run: async ({ server }) => {
        const names = await namesOn(server)
        expect(names).toEqual(expect.arrayContaining(['docker.io/example/zstd:1', 'docker.io/example/gzip:1']))
        expect(names).not.toContain('docker.io/example/xz:1')
      },
    },
    {
      fact: 'k3s-observed.md 4',
      claim: 'a zstd window above 32 MiB fails: window size exceeded',
      run: async ({ server }) => {
        expect(await namesOn(server)).not.toContain('docker.io/example/large-window:1')
        expect(await journalOf(server, 'k3s')).toMatch(/window size exceeded/)
      },
    },
    {
      fact: 'k3s.md §4.2',
      claim: 'broken and cut archives leave no name',
      run: async ({ server }) => {
        expect(await namesOn(server)).not.toContain('docker.io/example/cut:1')
        const journal = await journalOf(server, 'k3s')
        expect(journal).toMatch(/level=error.*14-broken\.tar/)
        expect(journal).toMatch(/level=error.*15-cut\.tar/)
      },
    },
    {
      fact: 'k3s-observed.md 6; k3s.md §4.1',
      claim: 'short names are completed, images without a name import silently, a bare ref name is used verbatim',
      run: async ({ server }) => {
        const names = await namesOn(server)
        expect(names).toContain('docker.io/library/example-short:latest')
        expect(names).toContain('1.37.0')
        expect(names.join(' ')).not.toContain('unnamed')
        expect(await journalOf(server, 'k3s')).not.toMatch(/level=error.*17-unnamed/)
      },
    },
    {
      fact: 'k3s-observed.md 1',
      claim: 'files are imported in byte order of their names',
      run: async ({ server }) => {
        const journal = await journalOf(server, 'k3s')
        const order = ['zstd:1', 'gzip:1', 'before:1', 'after:1'].map(name =>
          journal.indexOf(`Imported docker.io/example/${name}`),
        )
        expect(order).not.toContain(-1)
        expect(order).toEqual(order.toSorted((a, b) => a - b))
      },
    },
    {
      fact: 'k3s-observed.md 5',
      claim: 'a .txt file is a list to pull from, and an unreachable image stalls the start',
      run: async ({ server, isStandin }) => {
        const journal = await server.must(
          'journalctl -u k3s -o short-unix --no-pager | grep -E "Imported (1.37.0|docker.io/example/before:1)"',
        )
        const times = journal.split('\n').map(line => Number(line.split(' ')[0]))
        // Between the file before the list and the file after it.
        expect((times.at(-1) ?? 0) - (times.at(-2) ?? 0)).toBeGreaterThan(isStandin ? 1.5 : 8)
        await server.must(`rm ${imagesDir}/1*`)
      },
    },
  ],
}
