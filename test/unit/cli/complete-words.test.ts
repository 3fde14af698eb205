import { spawnSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { completeWords } from '../../../src/cli/complete-words.ts'
import { completionScripts } from '../../../src/cli/completion-scripts.ts'
import { createProgram } from '../../../src/cli/program.ts'

const { stdout, stderr, stdin } = process
const program = createProgram({ stdout, stderr, stdin, env: {} }, { code: 0 })

describe('what may stand at the cursor', () => {
  it.each([
    [['pus'], ['push'], false],
    [['co'], ['config', 'copy', 'completion', 'collect'], false],
    [['__'], [], false],
    [['push', '--ins'], ['--insecure'], false],
    [['push', '--q'], ['--quiet'], false],
    [['push', ''], [], true],
    [['push', 'local/x:1', ''], [], true],
    [['push', 'local/x:1', 'b', ''], [], false],
    [['--quiet', 'rmi', 'a', 'b', ''], [], true],
    [['completion', 'f'], ['fish'], false],
    [['save', '--format', 'oci-d'], ['oci-dir'], false],
    [['save', '--output', ''], [], false],
    [['save', '--output', 'k3s.tar', ''], [], true],
    [['tags', ''], [], false],
    [['load', ''], [], false],
    [['--prog'], ['--progress'], false],
    [['--progress', 'pl'], ['plain'], false],
  ])('%j: %j', (words, expected, images) => {
    const found = completeWords(program, words)
    expect([...found.words].sort()).toEqual([...expected].sort())
    expect(found.images).toBe(images)
  })

  it('are all commands that help shows', () => {
    expect(completeWords(program, ['']).words).toEqual(expect.arrayContaining(['build', 'push', 'run', 'validate']))
  })
})

describe('bash', () => {
  /** What bash would offer for a line, with a stand-in for the program that answers the same candidates always. */
  function offered(line: string, candidates: string): readonly string[] {
    const script = `cloudimg() { printf '%s\\n' ${candidates}; }
${completionScripts.bash}
COMP_LINE='${line}' COMP_POINT=${line.length} COMP_WORDBREAKS=$' \\t\\n:='
_cloudimg; printf '%s\\n' "\${COMPREPLY[@]}"`
    const { stdout: said, stderr: complaint } = spawnSync('bash', ['--norc', '-c', script], { encoding: 'utf8' })
    expect(complaint).toBe('')
    return said.split('\n').filter(text => text !== '')
  }

  it('is given the words that go on as typed', () => {
    expect(offered('cloudimg pu', 'pull push images')).toEqual(['pull', 'push'])
  })

  it('is given what stands behind the colons that are typed already', () => {
    const names = 'registry.local:5000/k3s:v1 registry.local:5000/k3s:v2'
    expect(offered('cloudimg push registry.local:5000/k3s:v', names)).toEqual(['v1', 'v2'])
    expect(offered('cloudimg push registry.local:50', names)).toEqual(['5000/k3s:v1', '5000/k3s:v2'])
    expect(offered('cloudimg push ', 'local/x:1')).toEqual(['local/x:1'])
  })
})
