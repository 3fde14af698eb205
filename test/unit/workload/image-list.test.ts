import { describe, expect, it } from 'vitest'
import { parseImageList } from '../../../src/workload/image-list.ts'
import { describeSource } from '../../../src/workload/image-request.ts'

const parse = (text: string): ReturnType<typeof parseImageList> => parseImageList(text, 'manifests/imageList')

describe('a list of images', () => {
  it.each([
    ['nginx', 'docker.io/library/nginx:latest', undefined],
    ['docker-daemon:app', 'docker.io/library/app:latest', 'docker-daemon:docker.io/library/app:latest'],
    [
      'docker-daemon:app:1@registry.local/app:1',
      'registry.local/app:1',
      'docker-daemon:docker.io/library/app:1@registry.local/app:1',
    ],
    ['docker-archive:a/b.tar', 'docker-archive:a/b.tar', 'docker-archive:a/b.tar'],
    ['docker-archive:a.tar:shop/app:1', 'docker.io/shop/app:1', 'docker-archive:a.tar:shop/app:1'],
    // sealos' form (facts/peers.md §1.3).
    ['docker-archive:a.tar@shop/app', 'docker.io/shop/app:latest', 'docker-archive:a.tar@docker.io/shop/app:latest'],
    ['oci:dir:v1@registry.local/app:1', 'registry.local/app:1', 'oci:dir:v1@registry.local/app:1'],
    ['oci-archive:x.tar:a/b:1', 'docker.io/a/b:1', 'oci-archive:x.tar:a/b:1'],
  ])('takes %s', (line, image, source) => {
    const { requests, wrongLines } = parse(`\n${line} # why\n`)
    expect(wrongLines).toEqual([])
    expect(requests).toMatchObject([{ image, file: 'manifests/imageList', line: 2, field: '' }])
    expect(requests[0]!.source && describeSource(requests[0]!.source)).toBe(source)
  })

  it('tells the lines that are none', () => {
    const { requests, wrongLines } = parse('a:1\nnot an image\n# fine\ndocker-archive:\noci::x\nB:2\n')
    expect(requests.map(({ image }) => image)).toEqual(['docker.io/library/a:1'])
    expect(wrongLines.map(({ line }) => line)).toEqual([2, 4, 5, 6])
  })
})
