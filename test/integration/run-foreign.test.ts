import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { cloudimg, cloudimgJson } from '../support/cloudimg.ts'
import { must } from '../support/command.ts'
import { makeOrdinaryUser } from '../support/ordinary-user.ts'
import type { RunBuild } from '../support/run-build.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'
import { arm64Program } from '../support/tiny-program.ts'

let scratch: Scratch
const at = (...parts: string[]): string => join(scratch.path, ...parts)
const flags = ['--platform', 'linux/arm64', '-t', 'foreign']

beforeAll(async () => {
  scratch = await makeScratch()
  await must(['chmod', '755', scratch.path])
  await mkdir(at('context'))
  await writeFile(at('context/program'), arm64Program(), { mode: 0o755 })
  await writeFile(at('context/Kubefile'), 'FROM scratch\nCOPY program /program\nRUN ["/program"]\n')
})
afterAll(async () => {
  await scratch[Symbol.asyncDispose]()
})

it('a program of another architecture runs through qemu, which is not in the tree, as root and as a user', async () => {
  const place = { home: at('home') }
  const built = await cloudimgJson<RunBuild>(['build', at('context'), ...flags], place)
  await cloudimgJson(['unpack', 'foreign', at('tree'), '--platform', 'linux/arm64'], place)
  expect(await readFile(at('tree/made'), 'utf8')).toBe('hi\n')
  const user = await makeOrdinaryUser(at('user'), { subordinates: 65_536 })
  const { code, stdout, stderr } = await user.cloudimg(['build', at('context'), ...flags, '--json'])
  expect([code, stderr]).toEqual([0, expect.stringContaining('RUN uses unshare')])
  expect((JSON.parse(stdout) as RunBuild).index).toBe(built.index)
})

it('an executor that cannot bring the emulator along refuses where this machine does not know it', async () => {
  const { code, stderr } = await cloudimg(['build', at('context'), ...flags, '--executor', 'bubblewrap'], {
    home: at('other'),
  })
  const known = (await must(['sh', '-c', 'cat /proc/sys/fs/binfmt_misc/qemu-aarch64 2>/dev/null || uname -m'])).match(
    /flags: .*F|aarch64/,
  )
  const refused = [1, expect.stringMatching(/EXECUTOR_UNAVAILABLE[\s\S]*--executor unshare/)]
  const built = [0, expect.stringContaining('RUN uses bubblewrap')]
  expect([code === 0 ? 0 : 1, stderr]).toEqual(known === null ? refused : built)
})
