import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { MiB } from '../core/bytes.ts'
import type { Context } from '../core/context.ts'
import { isCloudimgError } from '../core/error.ts'
import { run } from '../io/exec.ts'
import type { ChartFiles } from './chart-files.ts'

/** The manifests of the chart at `root` as helm renders them; undefined where it cannot. */
export type RenderChart = (files: ChartFiles, root: string, ctx: Context) => Promise<string | undefined>

/**
 * Renders with the helm program, with each chart's own values; undefined for all where there is no helm. It sees a copy of the
 * chart and an environment of its own, and it is not asked to fetch anything: what a chart depends on is in its folder or
 * nowhere.
 */
export function helmRenderer(program = 'helm'): RenderChart {
  let present: Promise<boolean> | undefined
  return async (files, root, ctx) => {
    present ??= isThere(program, ctx)
    return (await present) ? await render(program, files, root, ctx) : undefined
  }
}

async function isThere(program: string, ctx: Context): Promise<boolean> {
  try {
    return (await run([program, 'version', '--short'], {}, ctx)).code === 0
  } catch (error) {
    if (isCloudimgError(error, 'COMMAND_FAILED')) return false
    throw error
  }
}

async function render(program: string, files: ChartFiles, root: string, ctx: Context): Promise<string | undefined> {
  const home = await mkdtemp(join(tmpdir(), 'cloudimg-helm-'))
  try {
    for (const [path, read] of files) {
      if (!path.startsWith(`${root}/`)) continue
      const target = join(home, 'chart', path.slice(root.length + 1))
      await mkdir(dirname(target), { recursive: true })
      await writeFile(target, await read())
    }
    const argv = [program, 'template', 'release', join(home, 'chart'), '--include-crds']
    const folders = { HELM_CACHE_HOME: home, HELM_CONFIG_HOME: home, HELM_DATA_HOME: home }
    const env = { PATH: process.env.PATH ?? '', HOME: home, ...folders }
    const result = await run(argv, { env, cwd: home, maxOutputBytes: 64 * MiB }, ctx)
    if (result.code === 0) return result.stdout
    const [why = ''] = result.stderr.trim().split('\n')
    const message = `rendering "${root}" with helm: ${why}; its values are read instead`
    ctx.events({ kind: 'warning', code: 'helm', message })
    return undefined
  } finally {
    await rm(home, { recursive: true, force: true })
  }
}
