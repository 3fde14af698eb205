import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { registryChoice, type RegistryFlags } from '../../../src/cli/registry-options.ts'

const url = 'https://hub.example'
const env = { HUB: 'it is "hidden"', LINES: 'a\nb' }
const pem = '-----BEGIN CERTIFICATE-----\n…\n'
let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'cloudimg-registry-options-'))
  await writeFile(join(directory, 'ca.pem'), pem)
  await writeFile(join(directory, 'key.pem'), '-----BEGIN PRIVATE KEY-----\n')
})
afterAll(() => rm(directory, { recursive: true, force: true }))

describe('the options of the registry', () => {
  it('say nothing where nothing is said', async () => expect(await registryChoice({}, env)).toBeUndefined())

  it('bring password and authority, which stand elsewhere', async () => {
    const flags: RegistryFlags = {
      registry: `${url}/mirror`,
      registryUsername: 'nodes',
      registryPasswordEnv: 'HUB',
      registryCa: join(directory, 'ca.pem'),
    }
    expect(await registryChoice(flags, env)).toEqual({
      mode: 'url',
      url: `${url}/mirror`,
      login: { username: 'nodes', password: 'it is "hidden"' },
      authority: pem,
    })
  })

  it.each<readonly [RegistryFlags, string]>([
    [{ registryUsername: 'a', registryPasswordEnv: 'HUB' }, 'but no URL'],
    [{ registry: 'managed', registryCa: 'ca.pem' }, 'but no URL'],
    [{ registry: url, registryUsername: 'a' }, 'one half of it is missing'],
    [{ registry: url, registryPasswordEnv: 'HUB' }, 'one half of it is missing'],
    [{ registry: url, registryUsername: 'a', registryPasswordEnv: 'NONE' }, '$NONE is not set'],
    [{ registry: url, registryUsername: 'a', registryPasswordEnv: 'LINES' }, 'more than one line'],
    [{ registry: url, registryCa: '/nowhere/ca.pem' }, 'no such file'],
  ])('%j: %s', async (flags, why) => {
    await expect(registryChoice(flags, env)).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining(why) as string,
    })
  })

  it('take no key for an authority', async () => {
    const flags = { registry: url, registryCa: join(directory, 'key.pem') }
    await expect(registryChoice(flags, env)).rejects.toThrow('it holds no certificate')
  })
})
