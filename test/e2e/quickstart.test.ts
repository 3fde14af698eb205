import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { attempt } from '../support/command.ts'
import { cloudimgEnvironment } from '../support/cloudimg.ts'

const checkout = resolve(import.meta.dirname, '../..')
let home: string
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'cloudimg-quickstart-test-'))
})
afterAll(() => rm(home, { recursive: true, force: true }))

async function quickstart(...flags: readonly string[]) {
  // Nothing outside this machine is asked: the stand-in release is taken without trying github.com.
  const env = {
    ...cloudimgEnvironment({ home }),
    PATH: process.env.PATH ?? '',
    CLOUDIMG_QUICKSTART_RELEASE: 'stand-in',
    HOME: process.env.HOME ?? home,
  }
  return await attempt(['npm', 'run', '-s', 'quickstart', '--', ...flags], { cwd: checkout, env, timeoutMs: 240_000 })
}

describe('npm run quickstart', () => {
  it('shows the whole way, in under two minutes, and says stand-in where it is one', async () => {
    const begun = Date.now()
    const { code, stdout, stderr } = await quickstart()
    expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/linux\/amd64\s+sha256:[0-9a-f]{64}[\s\S]*linux\/arm64\s+sha256:/)
    expect(stdout).toMatch(/pushed 127\.0\.0\.1:\d+\/quickstart-stand-in:v1\.31\.4@sha256:/)
    expect(stdout).toContain('./bin/k3s')
    expect(stdout).toContain('==> Join agents')
    expect(stdout).toMatch(/stand-in for k3s/)
    expect(Date.now() - begun).toBeLessThan(120_000)
  })

  it('deploys with -- --deploy, and the second run changes nothing', async () => {
    const { code, stdout, stderr } = await quickstart('--deploy')
    expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/cluster c-\w+ is up \(v1\.31\.4\+k3s1\)[\s\S]*is up, nothing was changed/)
    expect(stdout).toMatch(/node1\s+Ready/)
  })

  it('is what the README names', async () => {
    const readme = await readFile(join(checkout, 'README.md'), 'utf8')
    expect(readme).toContain('npm ci && npm run quickstart')
    expect(readme).toContain('npm ci && npm test')
  })
})
