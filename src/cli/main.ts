import { CommanderError } from 'commander'
import { createProgram } from './program.ts'

/** Runs the program for one command line; the process ends by itself with the exit code set. */
export async function main(argv: readonly string[]): Promise<void> {
  const { stdout, stderr, stdin, env } = process
  const outcome = { code: 0 }
  // A reader that has seen enough (`| head`) is no failure.
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0)
  })
  try {
    await createProgram({ stdout, stderr, stdin, env }, outcome, argv[0]).parseAsync([...argv], { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    outcome.code = error.exitCode === 0 ? 0 : 2
  }
  process.exitCode = outcome.code
}
