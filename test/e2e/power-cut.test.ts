import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { each } from '../../src/core/each.ts'
import { type LabHost, startLab } from '../support/lab.ts'
import { buildCutImage, type CutImage } from '../support/power-cut/cut-image.ts'
import { differences, type HostState, readHostState } from '../support/power-cut/host-state.ts'
import { makeOperator, type Operator } from '../support/power-cut/operator.ts'
import { PointLog } from '../support/power-cut/point-log.ts'
import { arm, cutPower, type Points, pointsOf, type Victims } from '../support/power-cut/power-cut.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'
import { sample, soakFactor } from '../support/soak.ts'

// The power goes after a write of the installer, and the same command is given again. Here a sample of the writes of a first server;
// `npm run soak` tries all of them, an agent's too, and with --real DIR a real k3s.

const soak = soakFactor !== undefined
/** Agents of one lab, and labs at a time: each host takes about seven of the inotify instances, of which a machine has 128 as a rule. */
const agentsOfALab = 3
const atOnce = 2
const hour = 3_600_000

let scratch: Scratch
let image: CutImage
let operator: Operator
beforeAll(async () => {
  scratch = await makeScratch()
  image = await buildCutImage(scratch.path)
  operator = await makeOperator(image, scratch.path)
})
afterAll(() => scratch[Symbol.asyncDispose]())

/** One host's way through a deployment, alone or as an agent of a server that is up. */
interface Subject {
  readonly server: LabHost
  readonly host: LabHost
}

const agentsOf = ({ server, host }: Subject): readonly LabHost[] => (host === server ? [] : [host])
const start = (subject: Subject) => operator.start(subject.server, agentsOf(subject))

/** The command to its good end; says whether it changed anything. */
async function deploy(subject: Subject): Promise<boolean> {
  const { code, answer, stderr } = await start(subject).ended
  expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' })
  return answer!.changed
}

async function stateOf({ server, host }: Subject): Promise<HostState> {
  return await readHostState(host, { [host.name]: '<host>', [host.ip]: '<address>', [server.ip]: '<server>' })
}

/** Everything that a run without need might touch, with its time of change. */
async function fingerprint(host: LabHost): Promise<string> {
  const places = '/etc /usr/local/bin /var/lib/cloudimg /var/lib/rancher/k3s/agent/images'
  return await host.must(`find ${places} -xdev -printf '%p %m %u %s %C@\\n' | sort`)
}

async function expectWell({ server, host }: Subject): Promise<void> {
  const node = await server.must(`/usr/local/bin/k3s kubectl get node ${host.name} --no-headers`)
  expect(node.split(/\s+/)).toEqual(expect.arrayContaining(['Ready', image.version]))
  const present = await host.must('/usr/local/bin/k3s crictl images')
  const names = present.split('\n').map(line => line.split(/\s+/).slice(0, 2).join(':'))
  expect(names).toEqual(expect.arrayContaining([...image.images]))
}

/** What an uninterrupted deployment writes, and what it leaves. */
interface Whole {
  readonly points: Points
  readonly state: HostState
}

async function deployWhole(subject: Subject): Promise<Whole> {
  await arm(subject.host, 0)
  expect(await deploy(subject)).toBe(true)
  await expectWell(subject)
  const points = await pointsOf(subject.host)
  const state = await stateOf(subject)
  expect(await deploy(subject)).toBe(false)
  return { points, state }
}

/** Cut at this write, switched on, deployed: the right end, and nothing more to do. Says how the run that was cut ended. */
async function survive(subject: Subject, whole: Whole, { at, victims }: ChosenPoint): Promise<string> {
  const { host } = subject
  await arm(host, at)
  const cut = await cutPower(host, start(subject), victims)
  expect(cut.point).toBe(whole.points[at - 1])
  const resumed = await deploy(subject)
  await expectWell(subject)
  const config = await host.must('cat /etc/rancher/k3s/config.yaml')
  expect(config).toBe(cut.config ?? config)
  expect(differences(whole.state, await stateOf(subject))).toEqual({})
  const before = await fingerprint(host)
  expect(await deploy(subject)).toBe(false)
  expect(await fingerprint(host)).toBe(before)
  if (victims === 'host and operator') return 'ok'
  expect(cut.first.stderr).not.toContain('BUG')
  return `ok (the first run went on and ended with ${cut.first.code}, the next one ${resumed ? 'changed' : 'found nothing to do'})`
}

interface ChosenPoint {
  readonly at: number
  readonly name: string
  readonly victims: Victims
}

/** The operator's machine survives every third cut: then the run that was under way has to cope. */
function chosen(what: string, points: Points, count: number): readonly ChosenPoint[] {
  const all = points.map((point, index) => {
    const victims: Victims = index % 3 === 0 ? 'host' : 'host and operator'
    return {
      at: index + 1,
      victims,
      name: `cut ${index + 1} of ${points.length} (${victims}) after ${point}`,
    }
  })
  return sample(what, all, count)
}

describe('a power cut after a write of the installer', () => {
  it(
    'on the first server: the same command comes to the right end',
    async () => {
      const whole = await onServer(deployWhole)
      expect(whole.points.length).toBeGreaterThan(30)
      const log = new PointLog('first server')
      await each(chosen('power cuts of the first server', whole.points, 4), atOnce, point =>
        log.point(point.name, () => onServer(subject => survive(subject, whole, point))),
      )
      expect(log.end(whole.points.length)).toEqual([])
    },
    2 * hour,
  )

  // A sample in CI has the server alone: what an agent does differently is joining, which the installer's own tests cut everywhere.
  if (soak) {
    it(
      'on an agent: the same command comes to the right end',
      async () => {
        const whole = await withServer(1, async ([first]) => await deployWhole(first!))
        const log = new PointLog('agent')
        const points = chosen('power cuts of an agent', whole.points, 4)
        const batches = Array.from({ length: Math.ceil(points.length / agentsOfALab) }, (_, index) =>
          points.slice(index * agentsOfALab, (index + 1) * agentsOfALab),
        )
        await each(batches, atOnce, batch =>
          withServer(batch.length, async subjects => {
            for (const [index, point] of batch.entries())
              await log.point(point.name, () => survive(subjects[index]!, whole, point))
          }),
        )
        expect(log.end(whole.points.length)).toEqual([])
      },
      2 * hour,
    )
  }
})

async function onServer<T>(work: (subject: Subject) => Promise<T>): Promise<T> {
  await using lab = await startLab(1)
  const [host] = lab.hosts
  return await work({ server: host!, host: host! })
}

/** A server that is up, and hosts to become its agents. */
async function withServer<T>(count: number, work: (subjects: readonly Subject[]) => Promise<T>): Promise<T> {
  await using lab = await startLab(['server', ...Array.from({ length: count }, (_, index) => `agent${index + 1}`)])
  const [server, ...agents] = lab.hosts
  await deploy({ server: server!, host: server! })
  return await work(agents.map(host => ({ server: server!, host })))
}
