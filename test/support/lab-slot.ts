import { randomBytes } from 'node:crypto'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { labnodeScript } from '../../scripts/lab/root-tree.ts'
import { errnoOf } from '../../src/core/error.ts'
import { readdirIfPresent } from '../../src/io/files.ts'
import { must } from './command.ts'
import { isAlive, processIdentity } from './process-identity.ts'

/**
 * One lab's share of this machine: a /24, a prefix for every name, a directory for its disks.
 * All are derived from one number, so two labs with different numbers have nothing in common.
 */
export interface LabSlot {
  readonly home: string
  readonly prefix: string
  /** The /24 without its last number. */
  readonly net: string
}

/** Machine-wide on purpose, not the user's cache: names of interfaces are machine-wide too. On a disk, for the hosts' layers. */
const slotsHome = '/var/tmp/cloudimg-lab'

/** Takes a free number, after clearing what killed runs left behind. */
export async function claimSlot(): Promise<LabSlot> {
  await mkdir(slotsHome, { recursive: true, mode: 0o700 })
  await clearAbandonedSlots()
  const claim = join(slotsHome, `.claim-${processIdentity()}-${randomBytes(4).toString('hex')}`)
  await mkdir(join(claim, 'ns'), { recursive: true, mode: 0o700 })
  await writeFile(join(claim, ownerMark()), '')
  for (let number = 64; number < 128; number++) {
    if (await renamed(claim, slotOf(number).home)) return slotOf(number)
  }
  await rm(claim, { recursive: true })
  throw new Error(`starting a lab: all of "${slotsHome}" is taken by running tests`)
}

/** Removes the slot's hosts, network and files; the number is free afterwards. */
export async function releaseSlot(slot: LabSlot): Promise<void> {
  await must([labnodeScript, 'clear'], { env: slotEnvironment(slot) })
  const gone = join(slotsHome, `.gone-${processIdentity()}-${slot.prefix}`)
  await rename(slot.home, gone)
  await rm(gone, { recursive: true, force: true })
}

/** What labnode.sh is told about its lab. */
export function slotEnvironment(slot: LabSlot): Record<string, string> {
  return {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    LABNODE_HOME: slot.home,
    LABNODE_PREFIX: slot.prefix,
    LABNODE_NET: slot.net,
  }
}

function slotOf(number: number): LabSlot {
  return { home: join(slotsHome, String(number)), prefix: `clab${number}`, net: `172.31.${number}` }
}

/** A slot always holds exactly one file of this kind, and a rename hands it from one owner to the next. */
function ownerMark(): string {
  return `owner-${processIdentity()}`
}

async function clearAbandonedSlots(): Promise<void> {
  for (const name of await readdirIfPresent(slotsHome)) {
    const path = join(slotsHome, name)
    const remains = /^\.(?:claim|gone)-(\d+-\d+)/.exec(name)?.[1]
    if (remains !== undefined && !isAlive(remains)) await rm(path, { recursive: true, force: true })
    if (!/^\d+$/.test(name)) continue
    const mark = (await readdirIfPresent(path)).find(entry => entry.startsWith('owner-'))
    if (mark === undefined || isAlive(mark.slice('owner-'.length))) continue
    if (await renamed(join(path, mark), join(path, ownerMark()))) await releaseSlot(slotOf(Number(name)))
  }
}

/** False where another process was faster. */
async function renamed(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to)
    return true
  } catch (error) {
    if (['ENOENT', 'EEXIST', 'ENOTEMPTY'].includes(errnoOf(error) ?? '')) return false
    throw error
  }
}
