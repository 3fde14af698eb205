import { createHash, X509Certificate } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { zstdCompressSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { buildStandin } from '../../support/build-standin.ts'
import { issue } from '../../support/k3s-standin/certificate.ts'
import { unzstd } from '../../support/k3s-standin/decompress.ts'
import { digestOf, readTar } from '../../support/k3s-standin/tar-reader.ts'
import { makeStandinRelease } from '../../support/standin-release.ts'
import { ociArchiveOf, zstdWithWindow } from '../../support/tiny-archives.ts'

describe('certificates', () => {
  const authority = issue({ commonName: 'k3s-server-ca@1', use: 'authority' })
  const leaf = issue(
    { commonName: 'k3s', organization: 'k3s', use: 'server', names: ['10.0.0.1', 'localhost', 'fd00::1'] },
    { ...authority, commonName: 'k3s-server-ca@1' },
  )

  it('are accepted by OpenSSL, signed by their authority', () => {
    const [root, child] = [new X509Certificate(authority.certificate), new X509Certificate(leaf.certificate)]
    expect(root.ca).toBe(true)
    expect(child.checkIssued(root) && child.verify(root.publicKey)).toBe(true)
    expect(child.verify(child.publicKey)).toBe(false)
  })

  it('are good for every name asked for, and no other', () => {
    const child = new X509Certificate(leaf.certificate)
    expect([child.checkIP('10.0.0.1'), child.checkIP('fd00::1'), child.checkHost('localhost')]).toEqual([
      '10.0.0.1',
      'fd00::1',
      'localhost',
    ])
    expect(child.checkIP('10.0.0.2')).toBeUndefined()
  })
})

describe('archives', () => {
  const plain = ociArchiveOf('one', { 'io.containerd.image.name': 'docker.io/example/one:1' })
  const inPieces = (bytes: Buffer, size: number): Readable =>
    Readable.from(
      Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) => bytes.subarray(at * size, (at + 1) * size)),
    )

  it.each([1, 511, 513, 1 << 20])('are read in pieces of %i bytes', async size => {
    const blobs: [string, string][] = []
    for await (const file of readTar(inPieces(plain, size))) blobs.push([file.name, (await digestOf(file, 0)).digest])
    expect(blobs.map(([name]) => name)).toEqual(expect.arrayContaining(['oci-layout', 'index.json', 'manifest.json']))
    for (const [name, digest] of blobs.filter(([path]) => path.startsWith('blobs/')))
      expect(digest).toBe(name.replace('blobs/sha256/', 'sha256:'))
  })

  it('that are cut are refused', async () => {
    await expect(Array.fromAsync(readTar(inPieces(plain.subarray(0, 3000), 512)))).rejects.toThrow('unexpected EOF')
  })

  it('of several zstd frames are read to their end', async () => {
    const frames = Buffer.concat([zstdCompressSync(plain.subarray(0, 1000)), zstdCompressSync(plain.subarray(1000))])
    expect(Buffer.concat(await Array.fromAsync(unzstd(inPieces(frames, 777)))).equals(plain)).toBe(true)
  })

  const windowOf = async (windowLog: number): Promise<Buffer> =>
    Buffer.concat(await Array.fromAsync(unzstd(inPieces(await zstdWithWindow(plain, windowLog), 4096))))

  it('with a zstd window of 32 MiB are read', async () => expect((await windowOf(25)).equals(plain)).toBe(true))

  it('with a larger one are not', async () => await expect(windowOf(27)).rejects.toThrow('window size exceeded'))
})

describe('a stand-in', () => {
  it('has the same bytes every time, and others for another architecture', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'cloudimg-unit-standin-'))
    try {
      const build = async (name: string, arch: 'amd64' | 'arm64'): Promise<Buffer> => {
        await buildStandin(join(directory, name), { version: 'v1.31.4+k3s1', arch, size: 2 << 20 })
        return await readFile(join(directory, name))
      }
      const first = await build('first', 'amd64')
      expect((await build('second', 'amd64')).equals(first)).toBe(true)
      expect((await build('third', 'arm64')).equals(first)).toBe(false)
    } finally {
      await rm(directory, { recursive: true })
    }
  })
})

describe('a stand-in release', () => {
  it('has upstream’s names and right checksums', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'cloudimg-unit-standin-'))
    try {
      const options = { tag: 'v1.31.4+k3s1', arches: ['arm'], size: 2 << 20, layerBytes: 512 } as const
      await makeStandinRelease(directory, options)
      const read = async (name: string): Promise<Buffer> => await readFile(join(directory, options.tag, name))
      const sums = (await read('sha256sum-arm.txt')).toString().trimEnd().split('\n')
      expect(sums.map(line => line.slice(66))).toEqual(['k3s-airgap-images-arm.tar.zst', 'k3s-armhf'])
      for (const line of sums)
        expect(
          createHash('sha256')
            .update(await read(line.slice(66)))
            .digest('hex'),
        ).toBe(line.slice(0, 64))
      expect((await read('k3s-armhf')).length).toBe(2 << 20)
      expect((await read('k3s-images.txt')).toString().split('\n')).toHaveLength(9)
      const channels = JSON.parse(await readFile(join(directory, 'channels.json'), 'utf8')) as {
        data: { id: string; latest: string }[]
      }
      expect(channels.data.map(({ id, latest }) => `${id} ${latest}`)).toEqual(
        ['stable', 'latest', 'v1.31'].map(id => `${id} v1.31.4+k3s1`),
      )
    } finally {
      await rm(directory, { recursive: true })
    }
  })
})
