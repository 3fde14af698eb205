import { describe, expect, it } from 'vitest'
import { planBuild, targetStage } from '../../../src/build/plan-build.ts'
import type { RunStep } from '../../../src/build/plan.ts'
import { parseKubefile } from '../../../src/kubefile/parse.ts'

const amd64 = { os: 'linux', arch: 'amd64' } as const

function planLines(lines: readonly string[], buildArgs: Readonly<Record<string, string>> = {}) {
  const { kubefile, diagnostics } = parseKubefile(`${lines.join('\n')}\n`)
  if (kubefile === undefined) throw new Error(diagnostics.map(({ message }) => message).join('; '))
  return planBuild(kubefile, { platform: amd64, buildPlatform: amd64, buildArgs, bases: new Map() })
}

function runOf(lines: readonly string[], buildArgs?: Readonly<Record<string, string>>): RunStep {
  const { plan, diagnostics } = planLines(lines, buildArgs)
  expect(diagnostics).toEqual([])
  return targetStage(plan).steps.find((step): step is RunStep => step.kind === 'run')!
}

describe('the command', () => {
  it.each<[lines: readonly string[], argv: readonly string[], program: string]>([
    [['RUN echo $A && b'], ['/bin/sh', '-c', 'echo $A && b'], '/bin/sh'],
    [['SHELL ["/bin/bash", "-ec"]', 'RUN a'], ['/bin/bash', '-ec', 'a'], '/bin/bash'],
    [['RUN ["a", "$b"]'], ['a', '$b'], 'a'],
    [['RUN <<EOF', 'one', 'two', 'EOF'], ['/bin/sh', '-c', 'one\ntwo\n'], '/bin/sh'],
    [['RUN cat <<A <<B', 'a', 'A', 'b', 'B'], ['/bin/sh', '-c', 'cat <<A <<B\na\nA\nb\nB\n'], '/bin/sh'],
    [['RUN <<EOF', '#!/usr/bin/env python3', 'print()', 'EOF'], ['/dev/pipes/EOF'], '/usr/bin/env'],
  ])('%j', (lines, argv, program) => {
    expect(runOf(lines).command).toMatchObject({ argv, program })
  })

  it('finds ARG and ENV, of which ENV wins; proxies are known without either and change no result', () => {
    const lines = ['ARG A=1', 'ARG B=1', 'ENV B=2', 'RUN x', 'ARG LATER=1']
    const { env, unkeyed } = runOf(lines, { A: '3', https_proxy: 'http://proxy' })
    expect(env).toMatchObject({ A: '3', B: '2', https_proxy: 'http://proxy', PATH: expect.any(String) })
    expect([env.LATER, unkeyed]).toEqual([undefined, ['https_proxy']])
  })

  it('has the user, directory and network of its line', () => {
    expect(runOf(['WORKDIR /w', 'USER a:b', 'RUN --network=default x'])).toMatchObject({
      workdir: '/w',
      user: 'a:b',
      network: 'default',
    })
    expect(runOf(['RUN x'])).toMatchObject({ workdir: '/', user: undefined, network: 'none' })
  })
})

describe('--mount', () => {
  const mountOf = (option: string) => runOf(['WORKDIR /w', 'ARG X=/x', `RUN --mount=${option} y`]).mounts[0]

  it.each<[option: string, expected: object]>([
    ['target=/a', { type: 'bind', target: '/a', origin: { from: 'context' }, source: '/', writable: false }],
    ['type=bind,src=s,dst=d,rw', { type: 'bind', target: '/w/d', source: 's', writable: true }],
    ['type=bind,from=alpine:3,destination=/a', { origin: { from: 'image', image: 'docker.io/library/alpine:3' } }],
    [
      'type=cache,target=$X',
      { type: 'cache', target: '/x', id: '/x', sharing: 'shared', mode: 0o755, uid: 0, writable: true },
    ],
    [
      'type=cache,target=/c,id=i,sharing=locked,mode=0700,uid=5,gid=6,ro',
      { id: 'i', sharing: 'locked', mode: 0o700, uid: 5, gid: 6, writable: false },
    ],
    ['type=tmpfs,target=/t,size=64m', { type: 'tmpfs', target: '/t', size: 64 * 1024 * 1024 }],
    [
      'type=secret,id=s',
      { type: 'secret', id: 's', target: '/run/secrets/s', env: undefined, mode: 0o400, required: false },
    ],
    ['type=secret,target=/k/name,required=true', { id: 'name', target: '/k/name', required: true }],
    ['type=secret,id=s,env=S', { target: undefined, env: 'S' }],
    ['"type=bind,target=/a,source=x"', { source: 'x' }],
  ])('%s', (option, expected) => {
    expect(mountOf(option)).toMatchObject(expected)
  })

  it.each<[option: string, message: RegExp, hint: RegExp]>([
    ['type=ssh', /"ssh" is no type of mount/, /type=secret/],
    ['type=tmpfs,target=/a,owner=1', /has no option "owner"/, /it takes target, size/],
    ['type=tmpfs,target=/a,sise=1m', /has no option "sise"/, /did you mean size/],
    ['type=cache', /has no target/, /target=/],
    ['target=/', /cannot be laid over "\/"/, /below it/],
    ['type=cache,target=/c,sharing=all', /"all" is no sharing/, /sharing=locked/],
    ['type=cache,target=/c,mode=9', /"9" is no mode/, /octal/],
    ['type=tmpfs,target=/t,size=big', /"big" is no size/, /bytes/],
    ['type=secret', /needs an id/, /id=NAME/],
    ['target=/a,ro=maybe', /neither true nor false/, /readonly=false/],
  ])('%s is refused', (option, message, hint) => {
    const { diagnostics } = planLines([`RUN --mount=${option} y`])
    expect(diagnostics).toMatchObject([
      { rule: 'mount', message: expect.stringMatching(message), hint: expect.stringMatching(hint) },
    ])
  })
})
