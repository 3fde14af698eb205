import { text } from 'node:stream/consumers'
import { Readable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { asRoot, findSudo } from '../../../src/host/sudo.ts'

const ok = { code: 0, stdout: '', stderr: '' }
const no = { code: 1, stdout: '', stderr: 'sudo: a password is required' }

describe('findSudo', () => {
  it('asks nothing of root', async () =>
    expect(await findSudo('h', 0, undefined, () => Promise.reject(new Error('ran')))).toEqual({ kind: 'root' }))

  it('finds sudo without a password', async () =>
    expect(await findSudo('h', 1000, 'pw', () => Promise.resolve(ok))).toEqual({ kind: 'free' }))

  it('tries the password on stdin, never in argv', async () => {
    const seen: string[] = []
    const sudo = await findSudo('h', 1000, 'pw', (argv, options) => {
      seen.push(argv.join(' '))
      return Promise.resolve(options.input === 'pw\n' ? ok : no)
    })
    expect(sudo).toEqual({ kind: 'password', password: 'pw' })
    expect(seen).toEqual(['sudo -k -n -- true', 'sudo -k -S -p  -- true'])
  })

  it.each([undefined, 'wrong'])('refuses with a hint when sudo does (%s)', async password => {
    await expect(findSudo('h', 1000, password, () => Promise.resolve(no))).rejects.toMatchObject({
      code: 'HOST_UNSUITABLE',
      data: { reason: 'sudo' },
    })
  })
})

describe('asRoot', () => {
  const sudo = { kind: 'password', password: 'pw' } as const

  it.each([
    ['text', 'body', 'pw\nbody'],
    ['bytes', Buffer.from('body'), 'pw\nbody'],
    ['a stream', Readable.from([Buffer.from('bo'), Buffer.from('dy')]), 'pw\nbody'],
  ])('puts the password before %s', async (_, input, all) => {
    const made = asRoot(sudo, ['cat'], { input }).input!
    expect(made instanceof Readable ? await text(made) : Buffer.from(made).toString()).toBe(all)
  })
})
