import { describe, expect, it } from 'vitest'
import { applyEdits, fixKubefile } from '../../../src/kubefile/lint/fix.ts'
import { lintKubefile, type LintOptions } from '../../../src/kubefile/lint/lint.ts'
import type { ContextFacts } from '../../../src/kubefile/lint/rule.ts'

function found(lines: readonly string[], options: LintOptions = {}): readonly string[] {
  return lintKubefile(`${lines.join('\n')}\n`, 'Kubefile', options).map(
    ({ rule, span }) => `${rule} ${span.start.line}`,
  )
}

const fixed = (...lines: readonly string[]): string => fixKubefile(`${lines.join('\n')}\n`, 'Kubefile').source

describe('what a Kubefile says of its own linting', () => {
  const lines = ['FROM scratch', 'ENV A b', 'ENV C d']

  it.each<[what: string, lines: readonly string[], expected: readonly string[]]>([
    ['nothing', lines, ['legacy-key-value 2', 'legacy-key-value 3']],
    ['skip for the whole file', ['# check=skip=legacy-key-value', ...lines], []],
    ['skip of several', ['# check=skip=unused-arg,legacy-key-value;error=true', ...lines], []],
    ['skip of all', ['# check=skip=all', ...lines], []],
    ["skip of BuildKit's", ['# check=skip=StageNameCasing', ...lines], ['legacy-key-value 3', 'legacy-key-value 4']],
    [
      'skip above a line',
      [lines[0]!, '# cloudimg lint: skip=legacy-key-value', ...lines.slice(1)],
      ['legacy-key-value 4'],
    ],
    [
      'skip above FROM is for FROM',
      ['# cloudimg lint: skip=all', ...lines],
      ['legacy-key-value 3', 'legacy-key-value 4'],
    ],
    ['skip of what is none', ['# check=skip=legacy-key-valeu', lines[0]!], ['skip 1']],
    ['skip of an error', ['FROM scratch', '# cloudimg lint: skip=image-name', 'FROM A//B'], ['skip 3', 'image-name 3']],
  ])('%s', (_, text, expected) => {
    const names = found(text).filter(name => !name.startsWith('unused-stage'))
    expect([...names].sort()).toEqual([...expected].sort())
  })

  it('suggests the rule that is meant', () => {
    const [first] = lintKubefile('# check=skip=legacy-key-valeu\nFROM scratch\n', 'Kubefile')
    expect(first?.hint).toBe('did you mean legacy-key-value?')
  })

  it('makes errors of warnings', () => {
    const [first] = lintKubefile('# check=error=true\nFROM scratch\nENV A b\n', 'Kubefile')
    expect(first).toMatchObject({ rule: 'legacy-key-value', severity: 'error' })
  })
})

describe('rules', () => {
  it.each<[what: string, lines: readonly string[], expected: readonly string[]]>([
    ['stages used by RUN --mount', ['FROM scratch AS a', 'FROM b:1', 'RUN --mount=type=bind,from=a,target=/a ls'], []],
    ['stages used by number', ['FROM scratch', 'FROM scratch', 'COPY --from=0 a b'], []],
    ['a stage that nobody uses', ['FROM scratch AS a', 'FROM scratch'], ['unused-stage 1']],
    ['the stage that is built', ['FROM scratch AS a', 'FROM scratch AS b'], ['unused-stage 1']],
    ['an ARG that RUN sees', ['FROM scratch', 'ARG A', 'RUN x'], []],
    ['an ARG that a further stage uses', ['FROM scratch AS a', 'ARG A=1', 'FROM a', 'COPY $A b'], []],
    ['an ARG that is used before it', ['FROM scratch', 'COPY ${A:-x} b', 'ARG A'], ['unused-arg 3']],
    ['an ARG above FROM that a stage takes', ['ARG A=1', 'FROM scratch', 'ARG A', 'COPY $A b'], []],
    ['an ARG above FROM that nobody takes', ['ARG A=1', 'FROM scratch'], ['unused-arg 1']],
    ['an ARG in a here-document', ['FROM scratch', 'ARG A=1', 'COPY <<x /', '$A', 'x'], []],
    ['proxies', ['FROM scratch', 'ARG HTTP_PROXY', 'ARG SOURCE_DATE_EPOCH'], []],
    ['predefined names', ['FROM scratch', 'COPY $ARCH-$TARGETOS-$BUILDPLATFORM $PATH'], []],
    ['a default', ['FROM scratch', 'COPY ${A:-a} ${B:+b} ${C:?needed}/'], []],
    ['shell parameters', ['FROM scratch', 'COPY a$1 b'], []],
    ['variables of a base image', ['FROM base:1', 'COPY $HOME/x y'], []],
    ['variables that a shell expands', ['FROM scratch', 'RUN echo $X', 'CMD echo $X'], []],
    ['variables of an inherited stage', ['FROM scratch AS a', 'ENV A=1', 'FROM a', 'COPY $A b'], []],
    ['a variable that is misspelt', ['FROM scratch', 'ENV VERSION=1', 'COPY $VERSOIN b'], ['undefined-variable 3']],
    ['what ONBUILD defers', ['FROM scratch', 'ONBUILD COPY $A b'], []],
    ['secrets', ['FROM scratch', 'ENV npmToken=1 KEY_FILE=x PUBLIC_KEY=y monkey=z'], ['secret-in-variable 2']],
    ['the shell form of CMD in a cluster image', ['BASE k3s@stable', 'CMD kubectl get nodes'], []],
    ['the shell form with a SHELL', ['FROM a:1', 'SHELL ["/bin/bash", "-c"]', 'ENTRYPOINT x'], []],
    ['ADD with flags of its own', ['FROM scratch', 'ADD --unpack=true a.tgz b/', 'ADD https://x.y/a b'], []],
    ['ADD with names that variables make', ['FROM scratch', 'ARG A=1', 'ADD $A b'], []],
    ['a network that is none', ['FROM scratch', 'RUN --network=none x'], []],
    ['COPY --from of an image with +', ['FROM scratch', 'COPY --from=a/b:1+2 a b'], ['plus-in-tag 2']],
    ['a Kubefile in small letters', ['from scratch', 'copy a b'], []],
    ['an old ENV under ONBUILD', ['FROM scratch', 'ONBUILD ENV A b'], ['legacy-key-value 2']],
    ['a k3s version behind a variable', ['ARG V=v1.31.4', 'FROM scratch', 'ARG V', 'BASE k3s@${V}'], ['k3s-version 1']],
    ['a good k3s version behind a variable', ['FROM scratch', 'ARG V=v1.31.4+k3s1', 'BASE k3s@$V'], []],
    ['another version behind a variable', ['FROM scratch', 'ARG V=1.2.3', 'COPY $V b'], []],
    [
      'a k3s version in a here-document',
      ['FROM scratch', 'RUN <<EOF', 'INSTALL_K3S_VERSION=v1.2.3 sh', 'EOF'],
      ['k3s-version 3'],
    ],
    ['a k3s version for the script', ['FROM scratch', 'ENV INSTALL_K3S_VERSION=v1.2.3'], ['k3s-version 2']],
    [
      'mistakes of grammar beside',
      ['FROM scratch', 'COYP a b', 'ENV A b'],
      ['unknown-instruction 2', 'legacy-key-value 3'],
    ],
  ])('%s', (_, lines, expected) => expect(found(lines)).toEqual(expected))

  it('know the target', () => {
    expect(found(['FROM scratch AS a', 'FROM scratch AS b'], { target: 'a' })).toEqual(['unused-stage 2'])
  })

  it('hold names against the lock', () => {
    const lines = ['FROM alpine:3', 'ADD https://x.y/a b', 'COPY --from=busybox:1 a b']
    const isPinned = (locator: string): boolean => locator === 'docker.io/library/alpine:3'
    expect(found(lines, { isPinned })).toEqual(['add-without-checksum 2', 'unpinned-from 3'])
    expect(found(lines)).toEqual([])
  })

  it('ask the context only for what lies in it', () => {
    const asked: string[] = []
    const context: ContextFacts = {
      find: source => {
        asked.push(source)
        return source === 'ignored' ? [] : [{ path: source, type: 'file' }]
      },
      isIgnored: source => source === 'ignored',
      named: [],
      listed: undefined,
    }
    const lines = [
      'FROM scratch AS a',
      'COPY one "two words" $THREE /',
      'COPY --from=a four /',
      'ADD ["five", "https://x.y/six", "/"]',
      'APP seven local://eight https://x.y/nine',
      'COPY ignored /',
    ]
    const [first] = lintKubefile(`${lines.join('\n')}\n`, 'Kubefile', { context }).filter(
      ({ rule }) => rule === 'missing-source',
    )
    expect(first?.message).toBe('.dockerignore leaves "ignored" out')
    expect(new Set(asked)).toEqual(new Set(['one', 'two words', 'five', 'eight', 'ignored']))
  })
})

describe('fixes', () => {
  it.each<[what: string, lines: readonly string[], expected: readonly string[]]>([
    ['old ENV', ['FROM scratch', 'ENV A  b c', 'LABEL x y'], ['FROM scratch', 'ENV A="b c"', 'LABEL x=y']],
    ['old ENV with quotes is left', ['FROM scratch', 'ENV A "b c"'], ['FROM scratch', 'ENV A "b c"']],
    ['capitals', ['FROM scratch', 'copy a b'], ['FROM scratch', 'COPY a b']],
    ['two of one line', ['FROM scratch', 'add a b'], ['FROM scratch', 'COPY a b']],
    ['versions', ['BASE k3s@1.31.4-k3s2'], ['BASE k3s@v1.31.4+k3s2']],
    [
      'versions behind variables',
      ['FROM scratch', 'ARG V=1.31.4-k3s1', 'BASE k3s@$V'],
      ['FROM scratch', 'ARG V=v1.31.4+k3s1', 'BASE k3s@$V'],
    ],
    ['no guess', ['BASE k3s@v1.31.4'], ['BASE k3s@v1.31.4']],
    [
      'versions in a script',
      ['FROM scratch', 'RUN INSTALL_K3S_VERSION=v1.25.3-k3s1 sh'],
      ['FROM scratch', 'RUN INSTALL_K3S_VERSION=v1.25.3+k3s1 sh'],
    ],
    ['flags', ['FROM --platform=$TARGETPLATFORM  a:1'], ['FROM a:1']],
    ['blank lines', ['FROM scratch', 'COPY a \\', '', '', '  b /'], ['FROM scratch', 'COPY a \\', '  b /']],
    [
      'a skipped one is left',
      ['# check=skip=keyword-case', 'FROM scratch', 'copy a b'],
      ['# check=skip=keyword-case', 'FROM scratch', 'copy a b'],
    ],
    ['sources', ['APP a b "c d"'], ['APP a local://b "c d"']],
  ])('%s', (_, lines, expected) => expect(fixed(...lines)).toBe(`${expected.join('\n')}\n`))

  it('are applied from the end', () => {
    const edits = [
      { start: 0, end: 1, text: 'AA' },
      { start: 2, end: 3, text: '' },
    ]
    expect(applyEdits('abcd', edits)).toBe('AAbd')
  })
})
