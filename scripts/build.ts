/**
 * Makes dist/: the program and the library as a few files instead of hundreds of modules, which halves the time to start.
 * What is loaded late stays apart. Packages that every command needs are part of those files, their licences beside them; the
 * others are left to npm. Types come from tsc.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build, type Metafile } from 'esbuild'

const root = join(import.meta.dirname, '..')

const { metafile } = await build({
  absWorkingDir: root,
  // Every file lies two levels deep, as src/io/package-file.ts does, which finds the package's root from where it is.
  entryPoints: [
    { in: 'src/cli/main.ts', out: 'cli/main' },
    { in: 'src/index.ts', out: 'lib/index' },
  ],
  outdir: 'dist',
  chunkNames: 'chunks/[name]-[hash]',
  bundle: true,
  splitting: true,
  external: ['undici', 'tar', 'dockerode', '@clack/prompts'],
  // yaml is CommonJS for Node, and asks for Node's own modules by `require`.
  banner: {
    js: "import { createRequire as _createRequire } from 'node:module'; const require = _createRequire(import.meta.url);",
  },
  format: 'esm',
  platform: 'node',
  target: 'node24',
  metafile: true,
  logLevel: 'warning',
})
writeFileSync(join(root, 'dist/THIRD-PARTY-LICENSES'), licences(metafile))

/** The licence of every package whose code is in the files. */
function licences({ inputs }: Metafile): string {
  const names = Object.keys(inputs).flatMap(path => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? [])
  return [...new Set(names)]
    .sort((a, b) => (a < b ? -1 : 1))
    .map(name => `${name}\n${'='.repeat(name.length)}\n\n${licenceOf(join(root, 'node_modules', name))}`)
    .join('\n\n')
}

function licenceOf(directory: string): string {
  const file = readdirSync(directory).find(name => /^licen[cs]e/i.test(name))
  if (file === undefined)
    throw new Error(`looking for the licence of "${directory}": no such file; leave the package outside`)
  return readFileSync(join(directory, file), 'utf8').trimEnd()
}
