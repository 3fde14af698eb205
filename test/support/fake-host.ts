import type { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import type { FileState, Host, UploadFile } from '../../src/host/host.ts'
import type { ExecResult } from '../../src/host/shell.ts'

/** What a host is asked, as one line: the name of a script and its arguments, or the argv itself. */
export type Heard = string

export interface Expectation {
  /** The line that is expected next: whole, or as a pattern. */
  readonly on: string | RegExp
  readonly answer?: Partial<ExecResult> | Error
  /** For `read` and `stat`. */
  readonly value?: unknown
}

/** A host that follows a script, in order, and refuses whatever the script does not expect. `finish` refuses what it did not hear. */
export class FakeHost implements Host {
  readonly name: string
  readonly heard: Heard[] = []
  readonly inputs: (string | undefined)[] = []
  readonly #script: Expectation[]

  constructor(name: string, script: readonly Expectation[]) {
    this.name = name
    this.#script = [...script]
  }

  finish(): void {
    const left = this.#script[0]
    if (left !== undefined) throw new Error(`host "${this.name}" was never asked: ${String(left.on)}`)
  }

  #next(line: string): Expectation {
    this.heard.push(line)
    const expected = this.#script.shift()
    const fits = typeof expected?.on === 'string' ? expected.on === line : expected?.on.test(line)
    if (expected === undefined || fits !== true)
      throw new Error(`host "${this.name}" was asked "${line}", expected: ${String(expected?.on ?? 'nothing')}`)
    return expected
  }

  #answer(line: string): Promise<ExecResult> {
    const { answer } = this.#next(line)
    if (answer instanceof Error) return Promise.reject(answer)
    return Promise.resolve({ code: 0, stdout: '', stderr: '', ...answer })
  }

  look(argv: readonly string[]): Promise<ExecResult> {
    return this.#answer(`look ${lineOf(argv)}`)
  }

  stat(paths: readonly string[]): Promise<readonly (FileState | undefined)[]> {
    return Promise.resolve(this.#next(`stat ${paths.join(' ')}`).value as readonly (FileState | undefined)[])
  }

  read(path: string): Promise<string | undefined> {
    return Promise.resolve(this.#next(`read ${path}`).value as string | undefined)
  }

  exec(argv: readonly string[], options: { readonly input?: string }): Promise<ExecResult> {
    this.inputs.push(options.input)
    return this.#answer(`exec ${lineOf(argv)}`)
  }

  async upload(file: UploadFile): Promise<'sent' | 'unchanged'> {
    const { answer } = this.#next(`upload ${file.to}`)
    if (answer instanceof Error) throw answer
    return await Promise.resolve('sent')
  }

  async unpack(directory: string, tar: Readable): Promise<void> {
    await buffer(tar)
    this.#next(`unpack ${directory}`)
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}

export function lineOf(argv: readonly string[]): string {
  return argv[1] === '-c' ? argv.slice(3).join(' ') : argv.join(' ')
}
