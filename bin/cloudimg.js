#!/usr/bin/env node
// Starts the program: the sources in a checkout, `dist/` in an installed package.
// A checkout may stand on a machine whose own Node is too old: `npm ci` brought one along, and it takes over here.
import { existsSync } from 'node:fs'
import module from 'node:module'
import { fileURLToPath } from 'node:url'

const needed = 24
const bundledNode = fileURLToPath(new URL('../node_modules/.bin/node', import.meta.url))

if (Number(process.versions.node.split('.')[0]) >= needed) {
  // Compiled code in a folder of one's own: Node's default lies in /tmp, where somebody else may have made it first.
  const caches = process.env.XDG_CACHE_HOME || (process.env.HOME && `${process.env.HOME}/.cache`)
  if (caches) module.enableCompileCache?.(process.env.NODE_COMPILE_CACHE ?? `${caches}/cloudimg/compiled`)
  const source = new URL('../src/cli/main.ts', import.meta.url)
  const { main } = await import(existsSync(source) ? source.href : new URL('../dist/cli/main.js', import.meta.url).href)
  await main(process.argv.slice(2))
} else if (existsSync(bundledNode) && !process.env.CLOUDIMG_REEXEC) {
  const { spawnSync } = await import('node:child_process')
  const args = [fileURLToPath(import.meta.url), ...process.argv.slice(2)]
  const result = spawnSync(bundledNode, args, { stdio: 'inherit', env: { ...process.env, CLOUDIMG_REEXEC: '1' } })
  if (result.signal) process.kill(process.pid, result.signal)
  process.exitCode = result.status ?? 1
} else {
  process.stderr.write(
    `error[USAGE]: cloudimg needs Node ${needed} or newer, this is ${process.version}\n` +
      `  hint: install Node ${needed}, or in a checkout run npm ci, which brings one along\n`,
  )
  process.exitCode = 2
}
