import { chmod, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { bestKey } from '../../../../src/oci/remote/credential-key.ts'
import type { Credential } from '../../../../src/oci/remote/credential.ts'
import {
  credentialsFrom,
  type Environment,
  removeCredential,
  saveCredential,
} from '../../../../src/oci/remote/credentials.ts'
import { testContext } from '../../../support/test-context.ts'

let home: string
let env: Environment
let config: string

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'cloudimg-credentials-'))
  env = { HOME: home, PATH: `${home}/bin:${process.env.PATH}` }
  config = join(home, '.docker/config.json')
})
afterEach(async () => {
  await rm(home, { recursive: true })
})

async function write(path: string, content: unknown): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content))
}

async function read(path = config): Promise<unknown> {
  return JSON.parse(await readFile(path, 'utf8'))
}

const encoded = (text: string): { auth: string } => ({ auth: btoa(text) })
const basic = (username: string, password = 'p'): Credential => ({ kind: 'basic', username, password })

async function find(registry: string, repository = 'a/b'): Promise<Credential | undefined> {
  return await credentialsFrom(env).find(registry, repository, testContext())
}

/** A helper that keeps one secret for each key as a file. */
async function installHelper(name: string, script?: string): Promise<void> {
  const path = join(home, 'bin', `docker-credential-${name}`)
  const kept = `${home}/kept-$(tr -c 'a-zA-Z0-9.\\n' '-')`
  await write(
    path,
    script ??
      `#!/bin/sh
set -e
case $1 in
get) file=${kept}; if [ -f "$file" ]; then cat "$file"; else echo credentials not found in native keychain; exit 1; fi;;
store) input=$(cat); key=$(printf %s "$input" | sed 's/.*"ServerURL":"\\([^"]*\\)".*/\\1/' | tr -c 'a-zA-Z0-9.\\n' '-'); printf %s "$input" > "${home}/kept-$key";;
erase) file=${kept}; if [ -f "$file" ]; then rm "$file"; else echo credentials not found in native keychain; exit 1; fi;;
esac
`,
  )
  await chmod(path, 0o755)
}

describe('finding', () => {
  it.each([
    ['r.io', encoded('u:p:w'), { kind: 'basic', username: 'u', password: 'p:w' }],
    ['https://r.io', encoded('u:p'), basic('u')],
    ['https://r.io/v2/', encoded('u:p'), basic('u')],
    ['http://r.io/v1/', encoded('u:p'), basic('u')],
    ['r.io', { username: 'u', password: 'p' }, basic('u')],
    ['r.io', { auth: btoa('u:p\0\0') }, basic('u')],
    ['r.io', { ...encoded('u:'), identitytoken: 'it' }, { kind: 'identity-token', token: 'it' }],
    ['r.io', encoded('<token>:it'), { kind: 'identity-token', token: 'it' }],
    ['r.io', { registrytoken: 'rt' }, { kind: 'registry-token', token: 'rt' }],
    ['r.io', {}, undefined],
    ['other.io', encoded('u:p'), undefined],
    ['r.io:5000', encoded('u:p'), undefined],
  ])('reads "%s": %o', async (key, entry, expected) => {
    await write(config, { auths: { [key]: entry } })
    expect(await find('r.io')).toEqual(expected)
  })

  it.each(['https://index.docker.io/v1/', 'index.docker.io', 'docker.io', 'registry-1.docker.io'])(
    'takes "%s" for Docker Hub',
    async key => {
      await write(config, { auths: { [key]: encoded('hub:p') } })
      expect(await find('docker.io', 'library/alpine')).toEqual(basic('hub'))
    },
  )

  it('prefers the most specific path', async () => {
    const auths = {
      'r.io': encoded('host:p'),
      'r.io/a': encoded('a:p'),
      'r.io/a/b': encoded('ab:p'),
      'r.io/a/bc': encoded('abc:p'),
    }
    await write(join(home, '.config/containers/auth.json'), { auths })
    expect(await find('r.io', 'a/b')).toEqual(basic('ab'))
    expect(await find('r.io', 'a/b/c')).toEqual(basic('ab'))
    expect(await find('r.io', 'a/x')).toEqual(basic('a'))
    expect(await find('r.io', 'ab')).toEqual(basic('host'))
  })

  it('asks the files in their order', async () => {
    env = {
      ...env,
      DOCKER_CONFIG: join(home, 'd'),
      REGISTRY_AUTH_FILE: join(home, 'r.json'),
      XDG_RUNTIME_DIR: join(home, 'x'),
    }
    const files = [
      join(home, '.config/containers/auth.json'),
      join(home, 'x/containers/auth.json'),
      join(home, 'r.json'),
      join(home, 'd/config.json'),
    ]
    expect(await find('r.io')).toBeUndefined()
    for (const [i, file] of files.entries()) {
      await write(file, { auths: { 'r.io': encoded(`u${i}:p`) } })
      expect(await find('r.io')).toEqual(basic(`u${i}`))
    }
    await write(config, { auths: { 'r.io': encoded('not where DOCKER_CONFIG points:p') } })
    expect(await find('r.io')).toEqual(basic('u3'))
  })

  it.each([
    ['not JSON', 'nope', 'not JSON'],
    ['of another form', { auths: { 'r.io': 'x' } }, '"auths"'],
    ['without a colon', { auths: { 'r.io': encoded('secret') } }, 'not USER:PASSWORD'],
  ])('names the file that is %s, and shows none of it', async (_what, content, message) => {
    await write(config, content)
    const finding = find('r.io')
    await expect(finding).rejects.toThrow(message)
    await expect(finding).rejects.toThrow(config)
    await expect(finding).rejects.not.toThrow('secret')
  })

  it('asks the helper of the registry before the store for all', async () => {
    await installHelper('one', `#!/bin/sh\nprintf '{"Username":"one","Secret":"%s"}' "$(cat)"\n`)
    await installHelper('all', `#!/bin/sh\nprintf '{"Username":"<token>","Secret":"%s"}' "$(cat)"\n`)
    await write(config, { credsStore: 'all', credHelpers: { 'r.io': 'one' }, auths: { 'r.io': encoded('file:p') } })
    expect(await find('r.io')).toEqual(basic('one', 'r.io'))
    expect(await find('other.io')).toEqual({ kind: 'identity-token', token: 'other.io' })
    expect(await find('docker.io')).toEqual({ kind: 'identity-token', token: 'https://index.docker.io/v1/' })
  })

  it('goes on to the file where the helper knows nothing', async () => {
    await installHelper('kept')
    await write(config, { credsStore: 'kept', auths: { 'r.io': encoded('file:p') } })
    expect(await find('r.io')).toEqual(basic('file'))
  })

  it.each([
    ['is not installed', undefined, 'missing'],
    ['fails', '#!/bin/sh\necho locked >&2\nexit 3\n', 'broken'],
    ['says nonsense', '#!/bin/sh\necho hello\n', 'broken'],
    ['has a name with a path', undefined, '../../bin/sh'],
  ])('warns of a helper that %s, and goes on', async (_what, script, name) => {
    if (script !== undefined) await installHelper(name, script)
    await write(config, { credHelpers: { 'r.io': name }, auths: { 'r.io': encoded('file:p') } })
    const ctx = testContext()
    expect(await credentialsFrom(env).find('r.io', 'a', ctx)).toEqual(basic('file'))
    expect(ctx.seen).toMatchObject([{ kind: 'warning', code: 'credential-helper' }])
  })

  it('asks a helper once for a repository', async () => {
    await installHelper('count', `#!/bin/sh\necho x >> ${home}/calls\nprintf '{"Username":"u","Secret":"p"}'\n`)
    await write(config, { credsStore: 'count' })
    const credentials = credentialsFrom(env)
    await Promise.all([1, 2, 3].map(() => credentials.find('r.io', 'a', testContext())))
    expect(await readFile(join(home, 'calls'), 'utf8')).toBe('x\n')
  })
})

describe('keeping', () => {
  it('writes what docker would, for the owner only, and keeps the rest', async () => {
    await write(config, {
      auths: { 'other.io': encoded('o:p'), 'https://r.io/v1/': encoded('old:p') },
      psFormat: 'x',
      n: { a: 1 },
    })
    const saved = await saveCredential('r.io', basic('u', 'p:w'), testContext(), env)
    expect(saved).toEqual({ where: config, plain: true })
    expect(await read()).toEqual({
      auths: { 'other.io': encoded('o:p'), 'r.io': encoded('u:p:w') },
      psFormat: 'x',
      n: { a: 1 },
    })
    expect((await stat(config)).mode & 0o777).toBe(0o600)
    expect(await find('r.io')).toEqual(basic('u', 'p:w'))
  })

  it.each([
    ['docker.io', 'https://index.docker.io/v1/'],
    ['127.0.0.1:5000', '127.0.0.1:5000'],
  ])('makes the file where there is none: %s', async (registry, key) => {
    await saveCredential(registry, { kind: 'identity-token', token: 'it' }, testContext(), env)
    expect(await read()).toEqual({ auths: { [key]: { identitytoken: 'it' } } })
    expect(await find(registry)).toEqual({ kind: 'identity-token', token: 'it' })
  })

  it('follows a link instead of replacing it', async () => {
    const real = join(home, 'dotfiles.json')
    await write(real, {})
    await mkdir(dirname(config))
    await symlink(real, config)
    await saveCredential('r.io', basic('u'), testContext(), env)
    expect(await read(real)).toEqual({ auths: { 'r.io': encoded('u:p') } })
  })

  it('leaves the secret to the helper', async () => {
    await installHelper('kept')
    await write(config, { credsStore: 'kept' })
    const saved = await saveCredential('r.io', basic('u'), testContext(), env)
    expect(saved).toEqual({ where: 'docker-credential-kept', plain: false })
    expect(await read()).toEqual({ credsStore: 'kept', auths: { 'r.io': {} } })
    expect(await find('r.io')).toEqual(basic('u'))
    expect(await removeCredential('r.io', testContext(), env)).toBe(true)
    expect(await find('r.io')).toBeUndefined()
    expect(await removeCredential('r.io', testContext(), env)).toBe(false)
  })

  it('shows no secret when the helper fails', async () => {
    await installHelper('bad', '#!/bin/sh\ncat >&2\nexit 1\n')
    await write(config, { credsStore: 'bad' })
    const saving = saveCredential('r.io', basic('u', 'hush-hush'), testContext(), env)
    await expect(saving).rejects.toMatchObject({ code: 'COMMAND_FAILED', message: expect.not.stringContaining('hush') })
    expect(await read()).toEqual({ credsStore: 'bad' })
  })

  it('forgets all spellings of a registry, and what is below it stays', async () => {
    const auths = { 'r.io': {}, 'https://r.io/v2/': {}, 'r.io/a': {}, 'r.io:5000': {} }
    await write(config, { auths, HttpHeaders: { a: 'b' } })
    expect(await removeCredential('r.io', testContext(), env)).toBe(true)
    expect(await read()).toEqual({ auths: { 'r.io/a': {}, 'r.io:5000': {} }, HttpHeaders: { a: 'b' } })
    expect(await removeCredential('r.io', testContext(), env)).toBe(false)
  })
})

it.each([
  [['r.io', 'r.io/a'], 'r.io', 'a/b', 'r.io/a'],
  [['r.io/a'], 'r.io', '', undefined],
  [['r.io'], 'r.io', '', 'r.io'],
  [['r.io.evil', 'evil.r.io'], 'r.io', 'a', undefined],
])('bestKey(%o) for %s/%s is %s', (keys, registry, repository, expected) => {
  expect(bestKey(keys, registry, repository)).toBe(expected)
})
