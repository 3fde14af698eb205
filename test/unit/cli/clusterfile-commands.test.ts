import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createProgram } from '../../../src/cli/program.ts'
import type { Terminal } from '../../../src/cli/terminal.ts'

let directory: string
beforeEach(async () => (directory = await mkdtemp(join(tmpdir(), 'cloudimg-clusterfile-'))))
afterEach(() => rm(directory, { recursive: true, force: true }))

async function cloudimg(...argv: readonly string[]) {
  let [stdout, stderr] = ['', '']
  const into = (add: (text: string) => void) => ({ write: add, columns: 100 }) as unknown as NodeJS.WriteStream
  const terminal: Terminal = {
    stdout: into(text => void (stdout += text)),
    stderr: into(text => void (stderr += text)),
    stdin: process.stdin,
    env: { CLOUDIMG_HOME: directory, XDG_STATE_HOME: directory },
  }
  const outcome = { code: 0 }
  await createProgram(terminal, outcome).parseAsync(argv, { from: 'user' })
  return { stdout, stderr, code: outcome.code }
}

describe('gen', () => {
  it('prints a Clusterfile', async () => {
    const { stdout, code } = await cloudimg(
      'gen',
      'k3s:v1.31.4',
      '--servers',
      'root@10.0.0.1',
      '--agents',
      '10.0.0.2,10.0.0.3',
    )
    expect(code).toBe(0)
    expect(stdout).toBe(`# yaml-language-server: $schema=https://cloudimg.io/schemas/clusterfile.json
apiVersion: cloudimg.io/v1
kind: Cluster
spec:
  image: k3s:v1.31.4
  hosts:
    - addresses:
        - root@10.0.0.1
      role: server
    - addresses:
        - 10.0.0.2
        - 10.0.0.3
      role: agent
`)
  })

  it('writes one where it is told to', async () => {
    const path = join(directory, 'Clusterfile')
    expect(await cloudimg('gen', 'k3s:v1.31.4', '-o', path)).toMatchObject({
      code: 0,
      stdout: `${path}\nnext: cloudimg apply -f ${path} --dry-run\n`,
    })
    expect(await readFile(path, 'utf8')).toContain('- localhost')
  })

  it.each([
    [['gen', 'k3s:v1.31.4+k3s1'], 3, 'write k3s:v1.31.4-k3s1'],
    [['gen', 'k3s:v1', '--agents', 'a'], 3, 'no host is a server'],
    [['gen', 'k3s:v1', '--servers', 'a', '--node-ip', 'b=10.0.0.1'], 2, 'no such host is named'],
    [['run'], 2, 'no image is named'],
    [['run', '-f', 'x', '--servers', 'a'], 2, 'leave -f out'],
    [['apply', '-f', '/nonexistent/Clusterfile'], 2, 'no such file'],
    [['diff', '-f', 'Clusterfile', 'k3s:v1'], 2, 'write: cloudimg diff -f Clusterfile'],
    [['diff', '-f', '/nonexistent/Clusterfile'], 2, 'no such file'],
    [['preflight', '--agents', 'a'], 2, 'agents but no server'],
  ])('refuses %j', async (argv, code, message) => {
    const { stderr, ...result } = await cloudimg(...argv)
    expect(result).toEqual({ stdout: '', code })
    expect(stderr).toContain(message)
  })
})

describe('apply', () => {
  it('shows every mistake of its file, and no secret', async () => {
    const path = join(directory, 'Clusterfile')
    await writeFile(
      path,
      'apiVersion: cloudimg.io/v1\nkind: Cluster\nspec:\n  image: 1\n  ssh: { password: hunter2 }\n',
    )
    const { stderr, code } = await cloudimg('apply', '-f', path)
    expect(code).toBe(3)
    expect(stderr.match(/error\[CLUSTERFILE_INVALID\]/g)).toHaveLength(3)
    expect(stderr).not.toContain('hunter2')
  })
})
