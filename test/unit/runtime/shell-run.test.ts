import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { printContent } from '../../../src/runtime/step.ts'
import { type ShellRun, shellRunOps } from '../../../src/runtime/shell-run.ts'

let place: string
beforeEach(() => (place = mkdtempSync(join(tmpdir(), 'cloudimg-shell-run-'))))
afterEach(() => rmSync(place, { recursive: true, force: true }))

/** The product's own script in a real shell, its environment in a file of the test's. */
function run(
  scripts: readonly string[],
  mark?: string,
  seconds = 10,
): { readonly code: number | null; readonly out: string } {
  const given: ShellRun = {
    name: 'hook',
    directory: place,
    scripts: scripts.map(run => ({ run, timeoutSeconds: seconds })),
    environment: ["export WORD='a b'\n"],
    kubeconfig: '/k',
    ...(mark === undefined ? {} : { mark }),
  }
  const [file, exec] = shellRunOps(given)
  if (file?.op !== 'file' || exec?.op !== 'exec') throw new Error('other ops')
  const variables = join(place, 'variables')
  writeFileSync(variables, printContent(file.content), { mode: file.mode })
  expect(file.mode).toBe(0o600)
  const argv = exec.argv.map(word => (word === file.path ? variables : word))
  const { status, stdout } = spawnSync(argv[0]!, argv.slice(1), { encoding: 'utf8' })
  expect(existsSync(variables)).toBe(false)
  return { code: status, out: stdout }
}

describe('scripts for the shell', () => {
  it('run one after the other in the directory, with variables, kubectl at hand, and a mark at the end', () => {
    const mark = join(place, 'hooks', 'done')
    expect(run(['echo "$WORD $KUBECONFIG"; cd /', 'pwd'], mark)).toEqual({ code: 0, out: `a b /k\n${place}\n` })
    expect(readFileSync(mark, 'utf8')).toBe('')
    expect(run(['echo again'], mark)).toEqual({ code: 0, out: '' })
  })

  it('end at the first command that fails, without a mark', () => {
    const mark = join(place, 'done')
    expect(run(['echo one\nfalse\necho two', 'echo three'], mark)).toEqual({ code: 1, out: 'one\n' })
    expect(existsSync(mark)).toBe(false)
  })

  it('end when their time is over', () => {
    expect(run(['while :; do sleep 1; done'], undefined, 1).code).toBe(124)
  })
})
