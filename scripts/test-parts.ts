/** Brings what the integration and end-to-end tests need: Debian packages, and the root tree of the lab's hosts. */
import type { Context } from '../src/core/context.ts'
import { CloudimgError, isCloudimgError, reasonOf } from '../src/core/error.ts'
import { ensureDebianParts } from './lab/debian.ts'
import { testPrograms } from './lab/programs.ts'
import { ensureRootTree } from './lab/root-tree.ts'

const say = (line: string): void => console.log(`test parts: ${line}`)
const ctx: Context = { signal: AbortSignal.timeout(15 * 60_000), events: () => {} }

try {
  if (process.getuid?.() !== 0) {
    throw new CloudimgError(
      'HOST_UNSUITABLE',
      'preparing the integration and end-to-end tests: they make namespaces, mounts and container engines, which only root can',
      {
        hint: 'run them as root, or npm run check without',
      },
    )
  }
  await ensureDebianParts(testPrograms, say, ctx)
  await ensureRootTree(say, ctx)
} catch (error) {
  console.error(`test parts: ${reasonOf(error)}`)
  if (isCloudimgError(error) && error.hint !== undefined) console.error(`  hint: ${error.hint}`)
  process.exitCode = 1
}
