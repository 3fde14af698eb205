import { lstatSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { digestOf, hexOf } from '../../src/core/digest.ts'
import { Lab, type Outcome, type Release, type Sandbox } from '../support/installer-sandbox.ts'
import { listening, servedRelease } from '../support/served-release.ts'

const unit = '/etc/systemd/system/cloudimg-registry.service'
const base = '/var/lib/cloudimg/registry/docker/registry/v2'
const blob = (text: string): string =>
  `${base}/blobs/sha256/${hexOf(digestOf(text)).slice(0, 2)}/${hexOf(digestOf(text))}/data`
const link = (repository: string, tag: string): string =>
  `${base}/repositories/${repository}/_manifests/tags/${tag}/current/link`

const index = `registry.local:5000/team/api@sha256:${'0'.repeat(64)}`
const first = servedRelease('v1.31.4+k3s1', {
  'docker.io/library/web:1': 'web one',
  'Registry.local:5000/library/web:1': 'another web',
  [`docker.io/library/web@${digestOf('manifest of web one')}`]: 'web one',
  [index]: 'web one',
})
const second = servedRelease('v1.31.5+k3s1', { 'docker.io/library/web:1': 'web two' })
const third = servedRelease('v1.31.6+k3s1', { 'docker.io/library/web:1': 'web three' })

// systemctl is a shim here, and so is the program of the registry; test/e2e/registry-modes.test.ts has real ones.
describe.each(['dash with GNU tools', 'busybox'] as const)('the registry of a server, under %s', userland => {
  let lab: Lab
  beforeAll(async () => {
    lab = await Lab.open(userland)
  })
  afterAll(() => {
    lab.close()
  })

  function serve(host: Sandbox, release: Release): Outcome {
    const argv = ['registry', '--rootfs', host.rootfs(release), '--port', '5443', '--timeout', '20']
    return host.run(argv, { prepare: listening })
  }

  function installed(): Sandbox {
    const host = lab.host()
    expect(host.run(['install', '--rootfs', host.rootfs(first)])).toMatchObject({ status: 0 })
    host.write('/etc/rancher/k3s/registry/config.yml', 'version: 0.1\n')
    return host
  }

  it('has every image under its registry’s name, as links', () => {
    const host = installed()
    expect(serve(host, first).answer).toMatchObject({ ok: true, changed: true })
    expect(host.read(link('docker.io/library/web', '1'))).toBe(digestOf('manifest of web one'))
    expect(host.read(link('registry.local_5000/library/web', '1'))).toBe(digestOf('manifest of another web'))
    const revision = hexOf(digestOf('manifest of web one'))
    expect(host.exists(`${base}/repositories/docker.io/library/web/_manifests/revisions/sha256/${revision}/link`)).toBe(
      true,
    )
    expect(host.exists(`${base}/repositories/registry.local_5000/team`)).toBe(false)
    for (const what of ['config', 'layer', 'manifest']) {
      expect(host.read(blob(`${what} of web one`))).toBe(`${what} of web one`)
      expect(lstatSync(host.path(blob(`${what} of web one`))).nlink).toBe(2)
    }
    expect(host.read(unit)).toContain('ExecStart=/usr/local/bin/registry serve /etc/rancher/k3s/registry/config.yml\n')
    host.calls()
    expect(serve(host, first).answer).toMatchObject({ ok: true, changed: false })
    expect(host.calls().filter(call => /^systemctl (?:re)?(?:start|enable)/.test(call))).toEqual([])
  })

  it('keeps the images of what runs and ran, beside those that come', () => {
    const host = installed()
    expect(serve(host, first)).toMatchObject({ status: 0 })
    expect(serve(host, second).answer).toMatchObject({ ok: true, changed: true })
    expect(host.read(link('docker.io/library/web', '1'))).toBe(digestOf('manifest of web two'))
    expect(host.exists(blob('layer of web one'))).toBe(true)
    expect(host.run(['install', '--rootfs', host.rootfs(second)])).toMatchObject({ status: 0 })
    expect(serve(host, third)).toMatchObject({ status: 0 })
    expect(host.exists(blob('layer of web two'))).toBe(true)
    expect(host.exists(blob('layer of web one'))).toBe(false)
  })

  it('is refused without a program, images or configuration, and goes with a reset', () => {
    const host = installed()
    const bare = host.rootfs({ version: 'v1.31.4+k3s1', extra: { 'bin/registry': '#!/bin/sh\n' } })
    expect(host.run(['registry', '--rootfs', bare, '--port', '5443'])).toMatchObject({ status: 3 })
    expect(host.run(['registry', '--rootfs', host.rootfs(first)])).toMatchObject({ status: 2 })
    expect(serve(host, first)).toMatchObject({ status: 0 })
    expect(host.run(['reset'])).toMatchObject({ status: 0 })
    for (const path of [unit, '/var/lib/cloudimg', '/usr/local/bin/registry', '/etc/rancher'])
      expect([path, host.exists(path)]).toEqual([path, false])
    host.rootfs(first)
    expect(serve(host, first)).toMatchObject({ status: 3 })
  })

  it('says so where the registry does not come up', () => {
    const host = installed()
    const argv = ['registry', '--rootfs', host.rootfs(first), '--port', '5443', '--timeout', '2']
    expect(host.run(argv).answer).toMatchObject({
      ok: false,
      code: 1,
      message: expect.stringContaining('does not come up') as string,
    })
    expect(host.exists('/var/lib/cloudimg/registry.applied')).toBe(false)
  })
})
