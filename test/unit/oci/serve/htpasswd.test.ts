import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hash } from 'bcryptjs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { basicHeader } from '../../../../src/oci/remote/credential.ts'
import { parseHtpasswd, readHtpasswd } from '../../../../src/oci/serve/htpasswd.ts'

let folder: string
let entry: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cloudimg-htpasswd-'))
  entry = `lab:${(await hash('pass:word', 4)).replace('$2b$', '$2y$')}`
})
afterAll(async () => {
  await rm(folder, { recursive: true })
})

async function fileOf(text: string): Promise<string> {
  const path = join(folder, 'users')
  await writeFile(path, text)
  return path
}

describe('an htpasswd file', () => {
  it.each([
    ['the right password', basicHeader('lab', 'pass:word'), true],
    ['the same in other letters of the scheme', basicHeader('lab', 'pass:word').replace('Basic', 'basic'), true],
    ['a wrong password', basicHeader('lab', 'pass'), false],
    ['an unknown user', basicHeader('other', 'pass:word'), false],
    ['no user', basicHeader('', ''), false],
    ['nothing', '', false],
    ['another scheme', 'Bearer abc', false],
    ['no base64', 'Basic ???', false],
    ['no colon', `Basic ${Buffer.from('lab').toString('base64')}`, false],
  ])('with %s: %s → %s', async (_what, header, accepted) => {
    const users = await readHtpasswd(await fileOf(`# people\n\n${entry}\n`))
    expect([await users.accept(header), await users.accept(header)]).toEqual([accepted, accepted])
  })

  it('counts anew when it was changed, also for who was let in before', async () => {
    const path = await fileOf(entry)
    const users = await readHtpasswd(path)
    expect(await users.accept(basicHeader('lab', 'pass:word'))).toBe(true)
    await writeFile(path, `new:${await hash('secret', 4)}\n`)
    expect(await users.accept(basicHeader('lab', 'pass:word'))).toBe(false)
    expect(await users.accept(basicHeader('new', 'secret'))).toBe(true)
  })

  it.each([
    ['an MD5 hash', 'a:$apr1$abc$def\n', /line 1/],
    ['a password in the clear', '# x\na:secret\n', /line 2/],
    ['a hash without a user', ':$2y$05$abc\n', /line 1/],
    ['nobody', '# nobody\n', /no user/],
  ])('with %s is refused', (_what, text, message) => {
    expect(() => parseHtpasswd(text, 'users')).toThrow(message)
  })

  it('that is not there is a FILE_ERROR', async () => {
    await expect(readHtpasswd(join(folder, 'none'))).rejects.toMatchObject({ code: 'FILE_ERROR' })
  })
})
