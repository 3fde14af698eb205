import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Ends } from '../../src/deploy/ends.ts'
import { CloudimgError } from '../../src/core/error.ts'
import { simPace } from './sim-clock.ts'
import { simRepository } from './sim-registry.ts'
import type { SimWorld } from './sim-world.ts'

/** Whoever deploys in a simulated world: state in memory, where syncing costs nothing, and time that is the world's. */
export interface SimOperator extends AsyncDisposable {
  readonly stateHome: string
  readonly ends: Ends
}

export async function makeSimOperator(world: SimWorld): Promise<SimOperator> {
  const stateHome = await mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'cloudimg-sim-'))
  return {
    stateHome,
    ends: simEnds(world),
    [Symbol.asyncDispose]: () => rm(stateHome, { recursive: true, force: true }),
  }
}

let ops = 0

export function simEnds(world: SimWorld): Ends {
  return {
    connect: address => {
      const host = world.hosts.get(address.name)
      if (host !== undefined && !host.isOff) return Promise.resolve(host)
      return Promise.reject(new CloudimgError('HOST_UNREACHABLE', `reaching "${address.name}": nobody answers`))
    },
    openRepository: entry => simRepository(world, entry),
    ...simPace(world.clock),
    newOp: () => `op-${String(++ops).padStart(6, '0')}`,
  }
}
