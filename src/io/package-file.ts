import { fileURLToPath } from 'node:url'

/**
 * A file that lies beside the code: the installer, templates, scripts. By its path from the package's root. The only place
 * that asks where the code itself is: what `npm run build` bundles lies elsewhere than its source.
 */
export function packageFile(path: string): string {
  return fileURLToPath(new URL(`../../${path}`, import.meta.url))
}
