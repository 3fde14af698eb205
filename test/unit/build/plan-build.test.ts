import { describe, expect, it } from 'vitest'
import type { StageConfig } from '../../../src/build/container-config.ts'
import { planBuild, type PlanRequest, type PlanResult, targetStage } from '../../../src/build/plan-build.ts'
import type { CopyStep } from '../../../src/build/plan.ts'
import { parseKubefile } from '../../../src/kubefile/parse.ts'

const amd64 = { os: 'linux', arch: 'amd64' } as const
const defaultPath = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

function plan(lines: readonly string[], more: Partial<PlanRequest> = {}): PlanResult {
  const { kubefile, diagnostics } = parseKubefile(`${lines.join('\n')}\n`)
  if (kubefile === undefined) throw new Error(diagnostics.map(({ message }) => message).join('; '))
  return planBuild(kubefile, { platform: amd64, buildPlatform: amd64, buildArgs: {}, bases: new Map(), ...more })
}

function configOf(lines: readonly string[], more: Partial<PlanRequest> = {}) {
  const { plan: built, diagnostics, missing } = plan(lines, more)
  expect({ diagnostics, missing }).toEqual({ diagnostics: [], missing: [] })
  return targetStage(built).config
}

function base(config: StageConfig['config'], author?: string): Pick<PlanRequest, 'bases'> {
  return { bases: new Map([['docker.io/library/base:1 linux/amd64', { config, author }]]) }
}

describe('the config of a stage on scratch', () => {
  it.each<[name: string, lines: readonly string[], expected: object]>([
    ['nothing', [], {}],
    ['CMD for the shell', ['CMD echo $HOME'], { Cmd: ['/bin/sh', '-c', 'echo $HOME'] }],
    ['CMD as an array', ['CMD ["a", "$b"]'], { Cmd: ['a', '$b'] }],
    ['ENTRYPOINT before CMD', ['ENTRYPOINT ["e"]', 'CMD ["c"]'], { Entrypoint: ['e'], Cmd: ['c'] }],
    ['ENTRYPOINT after a CMD of this file', ['CMD ["c"]', 'ENTRYPOINT ["e"]'], { Entrypoint: ['e'], Cmd: ['c'] }],
    [
      'SHELL before both',
      ['SHELL ["/bin/bash", "-ec"]', 'CMD a', 'ENTRYPOINT b'],
      { Shell: ['/bin/bash', '-ec'], Cmd: ['/bin/bash', '-ec', 'a'], Entrypoint: ['/bin/bash', '-ec', 'b'] },
    ],
    ['WORKDIR, each below the one before', ['WORKDIR /a', 'WORKDIR b', 'WORKDIR ../c'], { WorkingDir: '/a/c' }],
    ['WORKDIR with variables', ['ENV D=/x', 'WORKDIR $D/${TARGETARCH}'], { WorkingDir: '/x/amd64' }],
    ['USER', ['ARG U=5', 'USER ${U}:6'], { User: '5:6' }],
    [
      'EXPOSE',
      ['ENV P="90 91/udp"', 'EXPOSE 80 $P 7000-7002/TCP'],
      { ExposedPorts: { '7000/tcp': {}, '7001/tcp': {}, '7002/tcp': {}, '80/tcp': {}, '90/tcp': {}, '91/udp': {} } },
    ],
    ['VOLUME in both forms', ['VOLUME /a /b', 'VOLUME ["/c d"]'], { Volumes: { '/a': {}, '/b': {}, '/c d': {} } }],
    ['STOPSIGNAL', ['STOPSIGNAL SIGRTMIN+3'], { StopSignal: 'SIGRTMIN+3' }],
    ['HEALTHCHECK NONE', ['HEALTHCHECK NONE'], { Healthcheck: { Test: ['NONE'] } }],
    [
      'HEALTHCHECK with times',
      ['HEALTHCHECK --interval=1m30s --timeout=500ms --start-period=0s --retries=3 CMD curl -f x'],
      { Healthcheck: { Test: ['CMD-SHELL', 'curl -f x'], Interval: 90e9, Timeout: 5e8, Retries: 3 } },
    ],
    ['HEALTHCHECK as an array', ['HEALTHCHECK CMD ["a", "b"]'], { Healthcheck: { Test: ['CMD', 'a', 'b'] } }],
    ['ONBUILD', ['ONBUILD COPY . /x', 'ONBUILD ENV A=$B'], { OnBuild: ['COPY . /x', 'ENV A=$B'] }],
    ['LABEL', ['LABEL a="b c" d=$TARGETOS'], { Labels: { a: 'b c', d: 'linux' } }],
  ])('%s', (_, lines, expected) => {
    const env = lines.flatMap(line => /^ENV (\w+)="?([^"]*)/.exec(line)?.slice(1, 3).join('=') ?? [])
    expect(configOf(['FROM scratch', ...lines])).toEqual({ Env: [defaultPath, ...env], WorkingDir: '/', ...expected })
  })

  it('has the author that MAINTAINER names, as it is written', () => {
    expect(targetStage(plan(['FROM scratch', 'MAINTAINER $A <a@b>']).plan).author).toBe('$A <a@b>')
  })

  it.each<[line: string, message: string]>([
    ['EXPOSE 70000', '"70000" is no port'],
    ['EXPOSE 80/icmp', '"80/icmp" is no port'],
    ['EXPOSE 9-8', '"9-8" is no port'],
    ['STOPSIGNAL SIGNONE', '"SIGNONE" is no signal'],
    ['USER $NOTHING', 'USER expands to nothing'],
    ['WORKDIR "$NOTHING"', 'WORKDIR expands to nothing'],
    ['HEALTHCHECK --interval=3 CMD x', '"3" is no duration of a millisecond or more'],
    ['HEALTHCHECK --retries=x CMD x', '"x" is no number of retries'],
    ['COPY --chmod=u=q a b', '"u=q" is no mode'],
    ['COPY --chown=a:b:c a b', '"a:b:c" is no owner'],
    ['COPY https://example.com/a b', 'COPY takes no URL'],
    ['ADD https://me:secret@example.com/a b', 'the URL has credentials in it'],
    ['ADD --checksum=sha256:1 https://example.com/a b', '"sha256:1" is no sha256 digest'],
    [`ADD --checksum=sha256:${'0'.repeat(64)} a b`, '--checksum is for one URL'],
    ['COPY https://example.com/a.git#main b', 'COPY takes no git repository'],
    ['ADD --checksum=main https://example.com/a.git b', '"main" is no commit'],
    [
      'ADD https://me:secret@example.com/a.git b',
      'reading the git source "https://example.com/a.git": it has credentials in it',
    ],
  ])('%s is refused', (line, message) => {
    const { diagnostics } = plan(['FROM scratch', line])
    expect(diagnostics.map(found => [found.message, found.span.start.line])).toEqual([[message, 2]])
  })
})

describe('the config of a stage on an image', () => {
  const inherited = {
    Env: ['PATH=/mine', 'A=1'],
    Cmd: ['old'],
    Entrypoint: ['run'],
    WorkingDir: '/w',
    User: '7',
    Labels: { l: '1' },
    Volumes: { '/v': {} },
    ExposedPorts: { '1/tcp': {} },
    StopSignal: 'TERM',
    Shell: ['/s', '-c'],
    Healthcheck: { Test: ['CMD', 'x'] },
  }

  it('is the base’s', () => {
    expect(configOf(['FROM base:1'], base(inherited))).toEqual(inherited)
  })

  it('adds to it, line by line', () => {
    const lines = ['FROM base:1', 'ENV B=$A A=2', 'LABEL m=2', 'EXPOSE 2', 'VOLUME /u', 'WORKDIR x', 'CMD y']
    expect(configOf(lines, base(inherited))).toEqual({
      ...inherited,
      Env: ['PATH=/mine', 'A=2', 'B=1'],
      Labels: { l: '1', m: '2' },
      ExposedPorts: { '1/tcp': {}, '2/tcp': {} },
      Volumes: { '/u': {}, '/v': {} },
      WorkingDir: '/w/x',
      Cmd: ['/s', '-c', 'y'],
    })
  })

  it('loses the base’s CMD by an ENTRYPOINT, unless this file has a CMD before it', () => {
    expect(configOf(['FROM base:1', 'ENTRYPOINT ["e"]'], base(inherited))).toMatchObject({ Entrypoint: ['e'] })
    expect(configOf(['FROM base:1', 'ENTRYPOINT ["e"]'], base(inherited))).not.toHaveProperty('Cmd')
    expect(configOf(['FROM base:1', 'CMD ["c"]', 'ENTRYPOINT ["e"]'], base(inherited)).Cmd).toEqual(['c'])
  })

  it('has a PATH where the base has none', () => {
    expect(configOf(['FROM base:1'], base({ Env: ['A=1'] })).Env).toEqual(['A=1', defaultPath])
  })

  it('keeps its author unless MAINTAINER says another', () => {
    expect(targetStage(plan(['FROM base:1'], base({}, 'me')).plan).author).toBe('me')
    expect(targetStage(plan(['FROM base:1', 'MAINTAINER you'], base({}, 'me')).plan).author).toBe('you')
  })

  it('runs the base’s ONBUILD lines first, once, and shows their mistakes at FROM', () => {
    const triggers = { OnBuild: ['ENV T=$A', 'COPY a /b'], Env: ['PATH=/', 'A=1'] }
    const { plan: built } = plan(['FROM base:1', 'ENV U=$T'], base(triggers))
    const stage = targetStage(built)
    expect(stage.config).toEqual({ Env: ['PATH=/', 'A=1', 'T=1', 'U=1'] })
    expect(stage.steps.map(step => [step.createdBy, step.span.start.line])).toEqual([
      ['ENV T=$A', 1],
      ['COPY a /b', 1],
      ['ENV U=$T', 2],
    ])
    const { diagnostics } = plan(['FROM base:1'], base({ OnBuild: ['STOPSIGNAL none', 'NONSENSE'] }))
    expect(diagnostics.map(({ span }) => span.start.line)).toEqual([1, 1])
    expect(diagnostics[1]?.message).toMatch(/^the base's ONBUILD "NONSENSE" cannot be read: unknown instruction/)
  })
})

describe('which stages there are', () => {
  const numbers = ({ plan: built }: PlanResult): readonly number[] => built.stages.map(stage => stage.number)

  it('are those that the target is made of', () => {
    const lines = [
      'FROM scratch AS a',
      'FROM scratch AS b',
      'FROM a AS c',
      'FROM scratch AS unused',
      'FROM c AS d',
      'COPY --from=b x y',
      'FROM d',
    ]
    expect(numbers(plan(lines))).toEqual([0, 1, 2, 4, 5])
    expect(numbers(plan(lines, { target: 'B' }))).toEqual([1])
    expect(numbers(plan(lines, { target: '2' }))).toEqual([0, 2])
    expect(() => plan(lines, { target: 'unsued' })).toThrow('the Kubefile has no stage "unsued"')
  })

  it('do not ask for the images of those that are not needed', () => {
    const result = plan(['FROM nowhere AS unused', 'FROM scratch', 'COPY a b'])
    expect([numbers(result), result.missing]).toEqual([[1], []])
  })

  it('take names from ARGs above the first FROM, and platforms too', () => {
    const { missing } = plan(['ARG V=3', 'ARG P=linux/arm64', 'FROM --platform=$P alpine:$V'], {
      buildArgs: { V: '4' },
    })
    expect(missing).toEqual([{ image: 'docker.io/library/alpine:4', platform: { os: 'linux', arch: 'arm64' } }])
  })

  it('pass ENV and ARG on to those that begin with them', () => {
    const lines = ['FROM scratch AS a', 'ARG X=1', 'ENV Y=2', 'FROM a', 'LABEL x=$X y=$Y']
    expect(configOf(lines).Labels).toEqual({ x: '1', y: '2' })
  })

  it('are copied from by name and by number; other names are images', () => {
    const lines = ['FROM scratch AS a', 'FROM scratch', 'COPY --from=A x /', 'COPY --from=0 x /', 'COPY --from=b:1 x /']
    const origins = targetStage(plan(lines).plan).steps.map(step => (step as CopyStep).origin)
    expect(origins).toEqual([
      { from: 'stage', stage: 0 },
      { from: 'stage', stage: 0 },
      { from: 'image', image: 'docker.io/library/b:1' },
    ])
  })
})

describe('a COPY', () => {
  const copyOf = (...lines: readonly string[]): CopyStep =>
    targetStage(plan(['FROM scratch', ...lines]).plan).steps.findLast((step): step is CopyStep => step.kind === 'copy')!

  it.each<[workdir: string, target: string, expected: string]>([
    ['/', 'manifests', 'manifests'],
    ['/w', 'x', '/w/x'],
    ['/w', '.', '/w/.'],
    ['/w', '/x/', '/x/'],
    ['/w', '"$NOTHING"', '/w/'],
  ])('below %s goes to %s', (workdir, target, expected) => {
    expect(copyOf(`WORKDIR ${workdir}`, `COPY a ${target}`).target).toBe(expected)
  })

  it('takes a here-document, expanded unless its delimiter is quoted', () => {
    const step = copyOf('ENV A=1', 'COPY <<-x <<"y" /d/', '\ta="$A" \\$A', 'x', '$A', 'y')
    expect(step.sources).toEqual([
      { kind: 'text', name: 'x', text: 'a="1" $A\n' },
      { kind: 'text', name: 'y', text: '$A\n' },
    ])
  })

  it('takes all its flags', () => {
    const step = copyOf('COPY --link --parents --exclude=a --exclude=b/** --chmod=u=rwX --chown=1 x y')
    expect(step).toMatchObject({ link: true, parents: true, exclude: ['a', 'b/**'], unpack: false })
    expect(step.owner).toEqual({ user: '1', group: undefined })
  })
})

// facts/oci.md §4.2 and §4.3: what a variable is worth in an instruction, not only in a word.
describe('a variable in an instruction', () => {
  const labelOf = (...lines: readonly string[]): string | undefined => configOf(lines).Labels?.x

  it.each<[what: string, lines: readonly string[], value: string]>([
    ['of the same ENV has its old value', ['ENV a=1', 'ENV a=2 b=$a', 'LABEL x=$b'], '1'],
    ['of the same ARG has its old value', ['ARG a=1', 'ARG a=2 b=$a', 'LABEL x=$b'], '1'],
    ['of the ENV before has the new one', ['ENV a=1', 'ENV a=2', 'LABEL x=$a'], '2'],
    ['of ENV beats ARG before it', ['ENV a=env', 'ARG a=arg', 'LABEL x=$a'], 'env'],
    ['of ENV beats ARG behind it', ['ARG a=arg', 'ENV a=env', 'LABEL x=$a'], 'env'],
    ['of ENV may use ARG', ['ARG v=1', 'ENV a=v$v', 'LABEL x=$a'], 'v1'],
    ['of ENV may add to itself', ['ENV a=1', 'ENV a=$a:2', 'LABEL x=$a'], '1:2'],
    ['in a LABEL key is expanded', ['ARG k=x', 'LABEL $k=v'], 'v'],
    ['in single quotes is not', ["LABEL x='$TARGETARCH'"], '$TARGETARCH'],
    ['in old ENV is expanded', ['ARG v=1', 'ENV a $v and  more', 'LABEL x=$a'], '1 and  more'],
    ['TARGETPLATFORM needs no ARG', ['LABEL x=$TARGETPLATFORM'], 'linux/amd64'],
    ['ARCH is TARGETARCH', ['LABEL x=$ARCH'], 'amd64'],
    ['ARCH gives way to ARG', ['ARG ARCH=mine', 'LABEL x=$ARCH'], 'mine'],
    ['that is not set is empty', ['LABEL x=a${nothing}b'], 'ab'],
  ])('%s', (_, lines, value) => expect(labelOf(...lines)).toBe(value))

  it.each<[line: string, key: 'Cmd' | 'Entrypoint']>([
    ['CMD ["$TARGETARCH"]', 'Cmd'],
    ['ENTRYPOINT ["$TARGETARCH"]', 'Entrypoint'],
  ])('%s is left to the program', (line, key) => expect(configOf([line])[key]).toEqual(['$TARGETARCH']))
})
