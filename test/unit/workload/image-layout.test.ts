import { describe, expect, it } from 'vitest'
import { type Digest, digestOf } from '../../../src/core/digest.ts'
import { imageLayers } from '../../../src/build/layers/image-layers.ts'
import { largeFile, type LayerSpec } from '../../../src/build/layers/layer-spec.ts'
import type { TreeFile } from '../../../src/build/tree.ts'
import {
  formatLayoutIndex,
  formatLayoutList,
  type LaidImage,
  layoutBlobPath,
  parseLayoutList,
} from '../../../src/workload/image-layout.ts'

const mediaType = 'application/vnd.oci.image.manifest.v1+json'

function laid(name: string, ...blobs: readonly string[]): LaidImage {
  const digest = digestOf(`manifest ${blobs.join(' ')}`)
  return {
    name: `docker.io/library/${name}:1`,
    manifest: { mediaType, digest, size: 9 },
    blobs: blobs.map(blob => digestOf(blob)),
  }
}

/** Blobs whose name begins with `big` are large. */
function filesOf(images: readonly LaidImage[], names: readonly string[]): ReadonlyMap<Digest, TreeFile> {
  const big = new Set(names.filter(name => name.startsWith('big')).map(name => digestOf(name)))
  const all = images.flatMap(image => [image.manifest.digest, ...image.blobs])
  return new Map(
    all.map(digest => [
      digest,
      {
        type: 'file',
        path: layoutBlobPath(digest),
        mode: 0o644,
        uid: 0,
        gid: 0,
        size: big.has(digest) ? largeFile : 10,
        content: { from: 'pool', digest },
      },
    ]),
  )
}

function layers(images: readonly LaidImage[], names: readonly string[], most = 100): readonly LayerSpec[] {
  return imageLayers(images, filesOf(images, names), 'BASE rootfs cache', most)
}

const text = (specs: readonly LayerSpec[]): string[] => specs.map(spec => spec.entries.map(entry => entry.path).join())

describe('the layers of images', () => {
  const blobs = ['a', 'b', 'big-a', 'big-shared', 'shared']
  const a = laid('a', 'a', 'big-a', 'big-shared', 'shared')
  const b = laid('b', 'b', 'big-shared', 'shared')

  it('have each blob once: large ones alone, small ones by image, shared ones apart', () => {
    const specs = layers([a, b], blobs)
    const paths = specs.flatMap(spec => spec.entries.map(entry => entry.path))
    expect(new Set(paths).size).toBe(paths.length)
    expect(specs.map(spec => spec.entries.length).toSorted((x, y) => x - y)).toEqual([1, 1, 1, 2, 2])
    expect(specs.map(({ createdBy }) => createdBy)).toContain('BASE rootfs cache # a:1, b:1')
  })

  it('stay as they are for an image that stays', () => {
    const changed = laid('a', 'a2', 'big-a', 'big-shared', 'shared')
    const [before, after] = [text(layers([a, b], blobs)), text(layers([changed, b], [...blobs, 'a2']))]
    expect(after.filter(layer => !before.includes(layer))).toHaveLength(1)
  })

  it('are the same for two names of one image, which belongs to both', () => {
    const other = { ...a, name: 'docker.io/library/other:1' }
    expect(layers([a, other], blobs)).toHaveLength(3)
  })

  it('are one for each image where there would be too many', () => {
    expect(layers([a, b], blobs, 4).length).toBeLessThanOrEqual(3)
  })
})

describe('the lists of a layout', () => {
  const images = [laid('b', 'x', 'y'), laid('a', 'x')]

  it('come back as they were, in byte order', () => {
    expect(parseLayoutList(formatLayoutList(images).toString())).toEqual([images[1], images[0]])
    const { manifests } = JSON.parse(formatLayoutIndex(images).toString()) as { manifests: { annotations: object }[] }
    expect(manifests.map(({ annotations }) => annotations)).toEqual(
      ['docker.io/library/a:1', 'docker.io/library/b:1'].map(name => ({
        'io.containerd.image.name': name,
        'org.opencontainers.image.ref.name': name,
      })),
    )
  })

  it.each(['nonsense', `${digestOf('a')} x type name`, `${digestOf('a')} 1 type name not-a-digest`])(
    'refuse %s',
    line => expect(() => parseLayoutList(`${line}\n`)).toThrow('images/oci/images.txt: line 1'),
  )
})
