import { expect, it } from 'vitest'
import { parseChecksums } from '../../../src/artifact/checksums.ts'

const a = 'a'.repeat(64)
const b = 'b'.repeat(64)

it.each([
  ['text mode', `${a}  k3s\n${b}  k3s-airgap-images-amd64.tar.zst\n`],
  ['binary mode', `${a} *k3s\n${b} *k3s-airgap-images-amd64.tar.zst\n`],
  ['carriage returns and no last newline', `${a}  k3s\r\n${b}  k3s-airgap-images-amd64.tar.zst`],
  ['capitals and ./', `${a.toUpperCase()}  ./k3s\n\n${b}  k3s-airgap-images-amd64.tar.zst\n`],
])('reads what sha256sum writes: %s', (_name, text) => {
  expect([...parseChecksums(text, 'sums')]).toEqual([
    ['k3s', `sha256:${a}`],
    ['k3s-airgap-images-amd64.tar.zst', `sha256:${b}`],
  ])
})

it('tells k3s from a name that ends alike', () => {
  expect(parseChecksums(`${a}  other-k3s\n${b}  k3s\n`, 'sums').get('k3s')).toBe(`sha256:${b}`)
})

it.each([
  ['a page', '<html>not found</html>', /line 1 is not/],
  ['a short digest', `${a}  k3s\n${b.slice(1)}  x\n`, /line 2 is not/],
  ['two digests for one name', `${a}  k3s\n${b}  k3s\n`, /"k3s" has two different checksums/],
])('refuses %s', (_name, text, message) => {
  expect(() => parseChecksums(text, 'sums')).toThrow(
    expect.objectContaining({ code: 'ARCHIVE_INVALID', message: expect.stringMatching(message) as string }),
  )
})
