import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { makeBaseTree } from '../support/base-tree.ts'
import { cloudimgJson } from '../support/cloudimg.ts'
import { must } from '../support/command.ts'
import { makeOrdinaryUser, type OrdinaryUser } from '../support/ordinary-user.ts'
import { type RunBuild, runLeftovers } from '../support/run-build.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'

let scratch: Scratch
let rootIds: readonly string[]

const at = (...parts: string[]): string => join(scratch.path, ...parts)
const lines = [
  'FROM scratch',
  'COPY base /',
  'RUN rm -r /root && mkdir -p /srv/a && echo x >/srv/a/x && chown 1000:77 /srv/a/x && ln /srv/a/x /srv/y',
  'RUN cp /bin/busybox /cap && setcap cap_chown=ep /cap && rm -r /srv/a && mkdir /srv/a && echo z >/srv/a/z',
  'USER app',
  'RUN id >/tmp/id',
]
const single = [
  ...lines.slice(0, 2),
  'RUN rm -r /root && mkdir -p /srv/a && echo x >/srv/a/x && ln /srv/a/x /srv/y',
  'RUN rm -r /srv/a && mkdir /srv/a',
]

async function writeContext(directory: string, text: readonly string[]): Promise<string> {
  await mkdir(directory, { recursive: true })
  await makeBaseTree(join(directory, 'base'))
  await writeFile(join(directory, 'Kubefile'), `${text.join('\n')}\n`)
  await must(['chmod', '-R', 'a+rX', directory])
  return directory
}

const diffIds = (built: RunBuild): readonly string[] => built.platforms[0]!.layers.map(layer => layer.diffId)

async function buildAs(user: OrdinaryUser, context: string): Promise<RunBuild> {
  const { code, stdout, stderr } = await user.cloudimg(['build', context, '--json'])
  if (code !== 0) throw new Error(stderr)
  return JSON.parse(stdout) as RunBuild
}

beforeAll(async () => {
  scratch = await makeScratch()
  await must(['chmod', '755', scratch.path])
  await writeContext(at('all'), lines)
  await writeContext(at('single'), single)
  rootIds = diffIds(await cloudimgJson<RunBuild>(['build', at('all')], { home: at('root') }))
})
afterAll(async () => {
  await scratch[Symbol.asyncDispose]()
})

it('a user with 65,536 ids of its own gets the layers that root gets, and leaves nothing of theirs', async () => {
  const user = await makeOrdinaryUser(at('rich'), { subordinates: 65_536 })
  const built = await buildAs(user, at('all'))
  expect(diffIds(built)).toEqual(rootIds)
  expect(await runLeftovers(user.place)).toEqual([])
})

it('a user with none gets the same where no owner matters, and else the word what to do', async () => {
  const user = await makeOrdinaryUser(at('poor'), { subordinates: 0 })
  const asRoot = await cloudimgJson<RunBuild>(['build', at('single')], { home: at('root') })
  expect(diffIds(await buildAs(user, at('single')))).toEqual(diffIds(asRoot))
  await writeContext(at('chown'), [...single, 'RUN chown 1000 /srv'])
  const owner = await user.cloudimg(['build', at('chown')])
  expect([owner.code === 0, owner.stderr]).toEqual([
    false,
    expect.stringMatching(/RUN_FAILED[\s\S]*usermod --add-subuids/),
  ])
  await writeContext(at('as-app'), [...single, 'USER app', 'RUN true'])
  const asApp = await user.cloudimg(['build', at('as-app')])
  expect(asApp.stderr).toMatch(/EXECUTOR_UNAVAILABLE[\s\S]*usermod --add-subuids/)
  expect(await runLeftovers(user.place)).toEqual([])
})

it('doctor and the other executors tell a user what they can', async () => {
  const user = await makeOrdinaryUser(at('other'), { subordinates: 0 })
  const { stdout } = await user.cloudimg(['doctor', '--json'])
  const reports = (JSON.parse(stdout) as { executors: { name: string; works: boolean; owners?: string }[] }).executors
  const found = Object.fromEntries(reports.map(({ name, works, owners }) => [name, works ? owners : 'no']))
  expect(found).toMatchObject({ unshare: 'one', bubblewrap: 'one', chroot: 'no' })
  expect(stdout).toContain('in a user namespace of one user, overlay')
  const { code, stderr } = await user.cloudimg(['build', at('single'), '--executor', 'bubblewrap'])
  expect([code, stderr]).toEqual([0, expect.stringContaining('RUN uses bubblewrap')])
})
