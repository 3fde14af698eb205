import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { LabHost } from '../lab.ts'
import type { Running, RunEnd } from './operator.ts'

const hookScript = join(import.meta.dirname, 'hook.sh')

/** What the installer wrote, in its order: `init /etc/rancher/k3s/config.yaml`. The first one has number 1. */
export type Points = readonly string[]

/** From now on, until it is off, the host counts writes, and waits for ever at the one with this number (0: at none). */
export async function arm(host: LabHost, at: number): Promise<void> {
  await host.put('/run/power-cut/at', `${at}\n`)
  await host.put('/run/power-cut/hook', await readFile(hookScript, 'utf8'))
}

export async function pointsOf(host: LabHost): Promise<Points> {
  const points = await host.must('cat /run/power-cut/points')
  return points.replaceAll(/\d{8}T\d{6}Z-[0-9a-f]+/g, '<operation>').split('\n')
}

/** Who loses its power: the host alone, or the operator's machine at the same moment. */
export type Victims = 'host' | 'host and operator'

export interface Cut {
  /** The last thing that was written. */
  readonly point: string
  /** The text of config.yaml as the host had it when its power was back, if it had a k3s unit then. */
  readonly config: string | undefined
  readonly first: RunEnd
}

/** Waits until the armed host has made its write, pulls the plug, puts it back, and looks at what is there. */
export async function cutPower(host: LabHost, running: Running, victims: Victims): Promise<Cut> {
  const early = await Promise.race([reached(host), running.ended])
  if (early !== undefined) {
    throw new Error(`cutting the power of "${host.name}": the run ended before: ${early.code}: ${early.stderr}`)
  }
  const point = (await pointsOf(host)).at(-1)!
  if (victims === 'host and operator') running.kill()
  await host.off()
  await host.on()
  const config = await configOfUnit(host)
  return { point, config, first: await running.ended }
}

async function reached(host: LabHost): Promise<undefined> {
  const script = 'until [ -e /run/power-cut/reached ]; do sleep 0.05; done'
  await host.must(script, { timeoutMs: 300_000 })
}

/** @throws where there is a unit of k3s and no config, or one that others may read. */
async function configOfUnit(host: LabHost): Promise<string | undefined> {
  const units = await host.must('ls /etc/systemd/system | grep "^k3s.*[.]service$" || true')
  if (units === '') return undefined
  const mode = await host.exec('stat -c %a /etc/rancher/k3s/config.yaml')
  if (mode.stdout.trim() !== '600')
    throw new Error(`"${host.name}" has ${units}, its config.yaml: ${JSON.stringify(mode)}`)
  return await host.must('cat /etc/rancher/k3s/config.yaml')
}
