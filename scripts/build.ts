/**
 * Makes dist/: the program and the library as one file each instead of hundreds of modules: to find and link a file takes Node
 * longer than to read it. What `import()` names is in there too, and runs when it is asked for. Packages that every command
 * needs are part of those files, their licences beside them; the others are left to npm. Types come from tsc.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as esbuild from 'esbuild'

const root = join(import.meta.dirname, '..')

/**
 * Node's own modules are asked for by what needs them, when it first runs. An `import` of them would load them all at the start, and
 * call each getter that they have: for node:http alone that is the whole of Node's undici, 16 ms.
 */
const builtins: esbuild.Plugin = {
  name: 'builtins',
  setup(build) {
    build.onResolve({ filter: /^node:/ }, ({ path, kind }) =>
      kind === 'import-statement' ? { path, namespace: 'builtin', sideEffects: false } : undefined,
    )
    build.onLoad({ filter: /^/, namespace: 'builtin' }, ({ path }) => {
      const names = Object.getOwnPropertyNames(process.getBuiltinModule(path)).filter(name =>
        /^[A-Za-z]\w*$/.test(name),
      )
      const lines = names.map(
        name => `const _${name} = /* @__PURE__ */ (() => module.${name})(); export { _${name} as ${name} }`,
      )
      return {
        contents: [`const module = process.getBuiltinModule('${path}')`, 'export default module', ...lines].join('\n'),
      }
    })
  },
}

const { metafile } = await esbuild.build({
  absWorkingDir: root,
  // Every file lies two levels deep, as src/io/package-file.ts does, which finds the package's root from where it is.
  entryPoints: [
    { in: 'src/cli/main.ts', out: 'cli/main' },
    { in: 'src/index.ts', out: 'lib/index' },
  ],
  outdir: 'dist',
  bundle: true,
  external: ['undici', 'dockerode', '@clack/prompts'],
  // yaml is CommonJS for Node, and asks for Node's own modules by `require`.
  banner: {
    js: "import { createRequire as _createRequire } from 'node:module'; const require = _createRequire(import.meta.url);",
  },
  format: 'esm',
  platform: 'node',
  target: 'node24',
  plugins: [builtins],
  metafile: true,
  logLevel: 'warning',
})
writeFileSync(join(root, 'dist/THIRD-PARTY-LICENSES'), licences(metafile))

/** The licence of every package whose code is in the files. */
function licences({ inputs }: esbuild.Metafile): string {
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
