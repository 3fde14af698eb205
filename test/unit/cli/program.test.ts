import type { Command } from 'commander'
import { describe, expect, it } from 'vitest'
import { CloudimgError, type ErrorCode } from '../../../src/core/error.ts'
import { exitCodeMeanings, exitCodeOf } from '../../../src/cli/exit-code.ts'
import { createProgram } from '../../../src/cli/program.ts'
import type { Terminal } from '../../../src/cli/terminal.ts'

function program(wanted?: string) {
  let out = ''
  const stream = { write: (text: string) => void (out += text), columns: 100 } as unknown as NodeJS.WriteStream
  const terminal: Terminal = { stdout: stream, stderr: stream, stdin: process.stdin, env: {} }
  const made = createProgram(terminal, { code: 0 }, wanted)
  return { program: made, output: () => out }
}

/** Commands and their subcommands, by the words that call them. */
function commandsOf(made: Command): ReadonlyMap<string, Command> {
  return new Map(
    made.commands.flatMap(command => [
      [command.name(), command] as const,
      ...command.commands.map(below => [`${command.name()} ${below.name()}`, below] as const),
    ]),
  )
}

function helpOf(name: string): string {
  const { program: made, output } = program()
  commandsOf(made).get(name)!.outputHelp()
  return output()
}

it('a program for one command has that command as it is in the whole one', () => {
  const whole = program().program.commands
  for (const command of whole) {
    for (const name of [command.name(), ...command.aliases()]) {
      const found = program(name).program.commands.find(other => other.name() === command.name())
      expect(found?.helpInformation(), name).toBe(command.helpInformation())
    }
  }
  expect(program('build').program.commands.length).toBeLessThan(whole.length)
  for (const name of ['__complete', 'help', '--help', 'biuld'])
    expect(program(name).program.commands, name).toHaveLength(whole.length)
})

const names = [...commandsOf(program().program).keys()]
const examples = names.flatMap(name =>
  helpOf(name)
    .split('\n')
    .filter(line => /^\s+(?:.*\|\s*)?cloudimg /.test(line))
    .flatMap(line => line.trim().split(/\s*\|\s*(?:ssh \w+ )?/))
    .filter(part => part.startsWith('cloudimg '))
    .map(part => part.split(' ').slice(1)),
)

describe('help', () => {
  it('has a description for every command', () => {
    const commands = [...commandsOf(program().program).values()]
    expect(commands.filter(command => command.description() === '')).toEqual([])
  })

  it.each(examples)('gives examples that are taken: %s', async (...argv) => {
    const { program: made } = program()
    let ran = ''
    for (const [name, command] of commandsOf(made))
      if (command.commands.length === 0) command.action(() => void (ran = name))
    await made.parseAsync(argv, { from: 'user' })
    expect(`${argv.join(' ')} `.startsWith(`${ran} `)).toBe(true)
    expect(ran).not.toBe('')
  })

  it('has examples for every command but those that need none', () => {
    const shown = new Set(examples.flatMap(words => [words[0], words.slice(0, 2).join(' ')]))
    const bare = new Set(['history', 'images', 'logout', 'rmi'])
    expect(names.filter(name => !name.startsWith('_') && !shown.has(name) && !bare.has(name))).toEqual([])
  })
})

describe('wrong words', () => {
  it.each([
    [['biuld'], /unknown command 'biuld'[\s\S]*Did you mean build/],
    [['build', '--plattform', 'x'], /unknown option '--plattform'[\s\S]*Did you mean --platform/],
    [['tag', 'one'], /missing required argument 'target'/],
    [['build', '--compression', 'xz', '.'], /Allowed choices are zstd, gzip, none/],
    [['run', 'x', '--timeout', '0'], /whole number from 1/],
    [['serve', '--port', 'http'], /it must be a port/],
    [['serve', '--port', '70000'], /it must be a port/],
  ])('%j', async (argv, message) => {
    const { program: made, output } = program()
    await expect(made.parseAsync(argv, { from: 'user' })).rejects.toMatchObject({ name: 'CommanderError' })
    expect(output()).toMatch(message)
  })
})

describe('exit codes', () => {
  const code = (errorCode: ErrorCode, data = {}): number => exitCodeOf(new CloudimgError(errorCode, 'x', { data }))

  it.each<[ErrorCode, number]>([
    ['USAGE', 2],
    ['KUBEFILE_INVALID', 3],
    ['REGISTRY_AUTH', 4],
    ['DIGEST_MISMATCH', 5],
    ['SIZE_MISMATCH', 5],
    ['LOCK_MISMATCH', 5],
    ['PHASE_FAILED', 6],
    ['HOST_UNSUITABLE', 7],
    ['HOST_UNREACHABLE', 7],
    ['CLUSTER_LOCKED', 8],
    ['CANCELLED', 130],
    ['NETWORK', 1],
  ])('%s is %i', (errorCode, expected) => {
    expect(code(errorCode)).toBe(expected)
  })

  it('are 6 for anything that failed after hosts began to change', () => {
    expect(code('HOST_UNREACHABLE', { changed: true })).toBe(6)
  })

  it('all have a meaning in the help', () => {
    const { program: made, output } = program()
    made.outputHelp()
    for (const [number, meaning] of exitCodeMeanings) expect(output()).toContain(`${number} `.padEnd(5) + meaning)
  })
})
