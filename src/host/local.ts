import type { Context } from '../core/context.ts'
import { run } from '../io/exec.ts'
import { type HostAddress, thisMachine } from './address.ts'
import { fixedEnvironment, type Shell } from './shell.ts'
import { asRoot, findSudo } from './sudo.ts'

/** This machine, through sudo where we are not root. @throws HOST_UNSUITABLE when root cannot be had. */
export async function connectLocal(
  options: { readonly sudoPassword?: string },
  ctx: Context,
  address: HostAddress = thisMachine,
): Promise<Shell> {
  const sudo = await findSudo(address.name, process.getuid?.() ?? 0, options.sudoPassword, (argv, options) =>
    run(argv, options, ctx),
  )
  return {
    name: address.name,
    run(argv, options, ctx) {
      const root = asRoot(sudo, [...fixedEnvironment, ...argv], options)
      return run(root.argv, root, ctx)
    },
    close: () => Promise.resolve(),
  }
}
