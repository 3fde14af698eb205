import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { clerkPassword } from '../../scripts/lab/root-tree-recipe.ts'
import { digestOf } from '../../src/core/digest.ts'
import { parseHostAddress } from '../../src/host/address.ts'
import { connectHost } from '../../src/host/connect.ts'
import { gatherFacts } from '../../src/host/facts.ts'
import type { Host, UploadFile } from '../../src/host/host.ts'
import type { SshOptions } from '../../src/host/openssh.ts'
import { run } from '../../src/io/exec.ts'
import { type Lab, startLab } from '../support/lab.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'
import { testContext } from '../support/test-context.ts'

let lab: Lab
let scratch: Scratch
const ctx = testContext()

beforeAll(async () => {
  scratch = await makeScratch()
  lab = await startLab(1)
})
afterAll(async () => {
  await lab[Symbol.asyncDispose]()
  await scratch[Symbol.asyncDispose]()
})

async function withHost<T>(name: string, options: SshOptions, work: (host: Host) => Promise<T>): Promise<T> {
  const host = await connectHost(parseHostAddress(name), { configFile: lab.ssh.configFile, ...options }, ctx)
  try {
    return await work(host)
  } finally {
    await host.close()
  }
}

/** An ssh configuration without keys and without known hosts, but for what the test adds. */
async function configOf(name: string, lines: readonly string[]): Promise<string> {
  const path = join(scratch.path, name)
  const common = ['GlobalKnownHostsFile /dev/null', 'IdentityFile none', 'IdentityAgent none', ...lines]
  await writeFile(path, `Host *\n  ${common.join('\n  ')}\n`)
  return path
}

function fileOf(content: Buffer, to: string): UploadFile {
  const open = (offset: number): Promise<Readable> => Promise.resolve(Readable.from([content.subarray(offset)]))
  return { to, mode: 0o640, size: content.length, digest: digestOf(content), open }
}

describe('who we are', () => {
  it.each([
    ['root', {}],
    ['cloud', {}],
    ['clerk', { sudoPassword: clerkPassword }],
    ['clerk', { password: clerkPassword }],
  ])('%s %j runs commands as root', async (user, options) => {
    await withHost(`${user}@node1`, options, async host => {
      expect((await host.look(['id', '-u'], ctx)).stdout).toBe('0\n')
      const odd = `it's "odd" $HOME \n \\ *`
      expect((await host.look(['printf', '%s', odd], ctx)).stdout).toBe(odd)
      expect((await host.exec(['cat'], { input: 'the input' }, ctx)).stdout).toBe('the input')
    })
  })

  it('goes through another host', async () => {
    // Only from the node itself is this the node.
    const itself = ['Host 127.0.0.1', `UserKnownHostsFile ${join(scratch.path, 'known-by-jump')}`]
    const configFile = join(scratch.path, 'jump')
    await writeFile(configFile, `Include ${lab.ssh.configFile}\n${itself.join('\n  ')}\n`)
    const { identityFile } = lab.ssh
    const options = { configFile, identityFile, jump: 'root@node1', acceptNewHostKeys: true }
    await withHost('root@127.0.0.1', options, async host => {
      expect((await host.look(['uname', '-n'], ctx)).stdout).toBe('node1\n')
    })
  })

  it('keeps passwords out of every argv, on both sides', async () => {
    await withHost('clerk@node1', { password: clerkPassword }, async host => {
      const sleeping = host.look(['sleep', '2'], ctx)
      const here = await run(['ps', '-eo', 'args'], {}, ctx)
      const there = await lab.host('node1').must('cat /proc/[0-9]*/cmdline 2>/dev/null | tr "\\0" " " || true')
      await sleeping
      expect(there).toContain('sleep 2')
      expect(here.stdout + there).not.toContain(clerkPassword)
    })
  })

  it.each([
    ['clerk', {}, 'sudo asks for a password'],
    ['clerk', { sudoPassword: 'wrong' }, 'sudo refused the password'],
    ['guest', {}, 'sudo'],
  ])('%s %j is refused: %s', async (user, options, message) => {
    const failing = withHost(`${user}@node1`, options, () => Promise.resolve())
    await expect(failing).rejects.toMatchObject({ code: 'HOST_UNSUITABLE', data: { reason: 'sudo' } })
    await expect(failing).rejects.toThrow(message)
  })

  it('logs in with a password alone, and says when it is wrong', async () => {
    const config = await configOf('password', [`UserKnownHostsFile ${lab.ssh.knownHosts}`, 'PubkeyAuthentication no'])
    const name = `clerk@${lab.host('node1').ip}`
    await withHost(name, { configFile: config, password: clerkPassword }, async host =>
      expect((await host.look(['id', '-u'], ctx)).stdout).toBe('0\n'),
    )
    const wrong = withHost(name, { configFile: config, password: 'wrong' }, () => Promise.resolve())
    await expect(wrong).rejects.toMatchObject({ code: 'HOST_UNREACHABLE', data: { reason: 'authentication' } })
    const none = withHost(name, { configFile: config }, () => Promise.resolve())
    await expect(none).rejects.toMatchObject({ code: 'HOST_UNREACHABLE', data: { reason: 'authentication' } })
  })
})

describe('host keys', () => {
  const address = (): string => lab.host('node1').ip

  it('an unknown one is refused, also with a password, unless it is accepted', async () => {
    const known = join(scratch.path, 'known')
    const config = await configOf('unknown', [
      `UserKnownHostsFile ${known}`,
      `IdentityFile ${lab.ssh.identityFile}`,
      'User root',
    ])
    for (const options of [{}, { password: 'x' }]) {
      const refused = withHost(address(), { configFile: config, ...options }, () => Promise.resolve())
      await expect(refused).rejects.toMatchObject({ code: 'HOST_UNREACHABLE', data: { reason: 'unknown-host-key' } })
      await expect(refused).rejects.toMatchObject({ hint: expect.stringContaining('--accept-new-host-keys') as string })
    }
    await withHost(address(), { configFile: config, acceptNewHostKeys: true }, () => Promise.resolve())
    expect(await readFile(known, 'utf8')).toContain(address())
    await withHost(address(), { configFile: config }, () => Promise.resolve())
  })

  it('a changed one is refused even where new ones are accepted', async () => {
    const known = join(scratch.path, 'changed')
    await run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', join(scratch.path, 'other')], {}, ctx)
    const [type, key] = (await readFile(join(scratch.path, 'other.pub'), 'utf8')).split(' ')
    await writeFile(known, `${address()} ${type} ${key}\n`)
    const config = await configOf('changed-key', [
      `UserKnownHostsFile ${known}`,
      `IdentityFile ${lab.ssh.identityFile}`,
      'User root',
    ])
    const failing = withHost(address(), { configFile: config, acceptNewHostKeys: true }, () => Promise.resolve())
    await expect(failing).rejects.toMatchObject({ code: 'HOST_KEY_CHANGED' })
  })
})

describe('the connection', () => {
  it('leaves nothing behind: no master, no socket', async () => {
    // A folder of its own: other programs of this machine may be deploying.
    const temporary = await mkdtemp(join(tmpdir(), 'ssh-'))
    vi.stubEnv('TMPDIR', temporary)
    await withHost('node1', {}, async host => {
      await host.look(['true'], ctx)
      expect(await readdir(temporary)).toHaveLength(1)
    })
    vi.unstubAllEnvs()
    expect(await readdir(temporary)).toEqual([])
    await rmdir(temporary)
  })

  it('hands on every exit code, 255 as 254', async () => {
    await withHost('node1', {}, async host => {
      expect((await host.look(['sh', '-c', 'exit 7'], ctx)).code).toBe(7)
      expect((await host.look(['sh', '-c', 'exit 255'], ctx)).code).toBe(254)
    })
  })

  it('nobody there is told from a closed port', async () => {
    const dead = withHost(`${lab.operatorIp}:9`, { connectTimeoutSeconds: 3 }, () => Promise.resolve())
    await expect(dead).rejects.toMatchObject({ code: 'HOST_UNREACHABLE', data: { reason: 'connect', retryable: true } })
  })

  it('tells where it arrived, and what the machine is', async () => {
    await withHost('cloud@node1', {}, async host => {
      const facts = await gatherFacts(host, Date.now, ctx)
      expect(facts).toMatchObject({
        hostname: 'node1',
        init: 'systemd',
        arrivedAt: lab.host('node1').ip,
        missingTools: [],
      })
      expect(facts.interfaces).toContainEqual({ name: 'eth0', addresses: [lab.host('node1').ip] })
      expect(facts.defaultRoutes).toEqual([])
    })
  })
})

describe('uploads', () => {
  const content = randomBytes(40 * 1024 * 1024)

  it.each([
    ['root', {}],
    ['clerk', { sudoPassword: clerkPassword }],
  ])('as %s arrive whole, with their mode, once', async (user, options) => {
    const file = fileOf(content, `/var/lib/cloudimg/up/${user}/large`)
    await withHost(`${user}@node1`, options, async host => {
      expect(await host.upload(file, ctx)).toBe('sent')
      expect(await host.upload(file, ctx)).toBe('unchanged')
      expect(await host.stat([file.to], ctx)).toEqual([{ size: content.length, mode: 0o640, digest: file.digest }])
    })
  })

  it('go on where a cut connection stopped', async () => {
    const to = '/var/lib/cloudimg/cut/large'
    const file = fileOf(content, to)
    const cut: UploadFile = {
      ...file,
      open: () => Promise.resolve(Readable.from(endingBadly(content.subarray(0, 20 * 1024 * 1024)))),
    }
    const offsets: number[] = []
    const seen: UploadFile = { ...file, open: offset => (offsets.push(offset), file.open(offset, ctx)) }
    await withHost('node1', {}, async host => {
      await expect(host.upload(cut, ctx)).rejects.toThrow('the line was cut')
      expect(await host.upload(seen, ctx)).toBe('sent')
      expect((await host.stat([to], ctx))[0]?.digest).toBe(file.digest)
    })
    expect(offsets).toHaveLength(1)
    expect(offsets[0]).toBeGreaterThan(0)
  })

  async function* endingBadly(part: Buffer): AsyncGenerator<Buffer> {
    for (let at = 0; at < part.length; at += 65536) yield part.subarray(at, at + 65536)
    await Promise.resolve()
    throw new Error('the line was cut')
  }
})
