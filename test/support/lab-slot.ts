import { readFileSync } from 'node:fs'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { labnodeScript } from '../../scripts/lab/root-tree.ts'
import { errnoOf } from '../../src/core/error.ts'
import { readdirIfPresent } from '../../src/io/files.ts'
import { must } from './command.ts'

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
  for (let number = 64; number < 128; number++) {
    if (!(await takeOwnership(number))) continue
    const slot = slotOf(number)
    await mkdir(join(slot.home, 'ns'), { recursive: true, mode: 0o700 })
    return slot
  }
  throw new Error(`starting a lab: all of "${slotsHome}" is taken by running tests`)
}

/** Removes the slot's hosts, network and files; the number is free afterwards. */
export async function releaseSlot(slot: LabSlot): Promise<void> {
  await must([labnodeScript, 'clear'], { env: slotEnvironment(slot) })
  await rm(slot.home, { recursive: true, force: true })
  await rm(`${slot.home}.owner`, { force: true })
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

async function takeOwnership(number: number): Promise<boolean> {
  try {
    await writeFile(`${slotOf(number).home}.owner`, identityOf(process.pid) ?? '', { flag: 'wx' })
    return true
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false
    throw error
  }
}

async function clearAbandonedSlots(): Promise<void> {
  for (const name of await readdirIfPresent(slotsHome)) {
    const number = /^(\d+)\.owner$/.exec(name)?.[1]
    if (number === undefined) continue
    const owner = await readFile(join(slotsHome, name), 'utf8').catch(() => '')
    // An empty file is a claim in the making.
    if (owner === '' || identityOf(Number(owner.split(' ')[0])) === owner) continue
    await clearAbandoned(slotOf(Number(number)))
  }
}

/** The rename decides who clears where several runs see the same leftover. */
async function clearAbandoned(slot: LabSlot): Promise<void> {
  try {
    await rename(`${slot.home}.owner`, `${slot.home}.clearing-${process.pid}`)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return
    throw error
  }
  await must([labnodeScript, 'clear'], { env: slotEnvironment(slot) })
  await rm(slot.home, { recursive: true, force: true })
  await rm(`${slot.home}.clearing-${process.pid}`, { force: true })
}

/** Process id and start time: an id alone may have been given to another process since. */
function identityOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // Field 22 of proc_pid_stat(5), counted behind the name, which may hold blanks.
    const started = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
    return `${pid} ${started}`
  } catch {
    return undefined
  }
}
