import { describe, expect, it } from 'vitest'
import type { Instruction } from '../../../src/kubefile/ast.ts'
import { instructionSpec, instructions } from '../../../src/kubefile/instructions.ts'
import { parseKubefile } from '../../../src/kubefile/parse.ts'

const specs = [...instructions.values()]

function only(source: string): Instruction | undefined {
  const { kubefile } = parseKubefile(source)
  const stage = kubefile?.stages.at(-1)
  return stage?.instructions[0] ?? stage?.from
}

describe.each(specs)('$kind', spec => {
  it('has an example that parses, and a usage of its own', () => {
    expect(only(`${spec.example}\n`)?.kind).toBe(spec.kind)
    expect(spec.usage.startsWith(spec.kind)).toBe(true)
  })

  it('is found in any case', () => {
    expect(instructionSpec(spec.kind.toLowerCase())).toBe(spec)
  })

  it('takes each of its flags, and no other', () => {
    const rest = spec.example.slice(spec.kind.length + 1).replace(/^(--\S+ )+/, '')
    for (const { name, value, choices } of spec.flags) {
      const written = value === 'boolean' ? `--${name}` : `--${name}=${choices?.[0] ?? 'x'}`
      expect(only(`${spec.kind} ${written} ${rest}\n`)?.flags.map(flag => flag.name)).toEqual([name])
    }
    const { diagnostics } = parseKubefile(`${spec.kind} --no-such-flag ${rest}\n`)
    expect(diagnostics.map(({ rule }) => rule)).toContain('unknown-flag')
  })
})

it('knows all instructions of a Dockerfile and of sealer, and BASE', () => {
  expect(specs.map(({ kind }) => kind).sort()).toEqual(
    (
      'ADD APP APPCMDS APPENV ARG BASE CMD CMDS CNI COPY CSI ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK KUBEVERSION LABEL ' +
      'LAUNCH MAINTAINER ONBUILD RUN SHELL STOPSIGNAL USER VOLUME WORKDIR'
    ).split(' '),
  )
})

it.each(['', 'COYP', 'constructor', '__proto__'])('"%s" is no instruction', word => {
  expect(instructionSpec(word)).toBeUndefined()
})
