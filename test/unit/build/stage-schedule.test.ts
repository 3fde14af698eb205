import { describe, expect, it } from 'vitest'
import type { StagePlan } from '../../../src/build/plan.ts'
import { scheduleStages } from '../../../src/build/stage-schedule.ts'
import { testContext } from '../../support/test-context.ts'

function stages(...uses: readonly (readonly number[])[]): readonly StagePlan[] {
  const platform = { os: 'linux', arch: 'amd64' } as const
  const common = {
    name: undefined,
    base: { from: 'scratch' },
    platform,
    steps: [],
    config: {},
    author: undefined,
    applications: [],
    launch: undefined,
  } as const
  return uses.map((own, number) => ({ ...common, number, uses: own }))
}

/** Work that ends when the test says so. */
function heldWork() {
  const started: number[] = []
  const ends = new Map<number, { resolve: () => void; reject: (error: Error) => void }>()
  const work = async ({ number }: StagePlan, done: ReadonlyMap<number, string>): Promise<string> => {
    started.push(number)
    const seen = [...done.keys()].sort((a, b) => a - b).join(',')
    await new Promise<void>((resolve, reject) => ends.set(number, { resolve, reject }))
    return `${number} after ${seen}`
  }
  return {
    started,
    work,
    end: (number: number) => ends.get(number)!.resolve(),
    fail: (number: number, error: Error) => ends.get(number)!.reject(error),
  }
}

const turn = async (): Promise<void> => {
  await new Promise(resolve => setImmediate(resolve))
}

describe('stages', () => {
  it('that need nothing of each other run side by side; the others wait for what they use', async () => {
    const { started, work, end } = heldWork()
    const all = scheduleStages(stages([], [], [0], [1, 2]), work, testContext())
    await turn()
    expect(started).toEqual([0, 1])
    end(0)
    await turn()
    expect(started).toEqual([0, 1, 2])
    end(2)
    await turn()
    expect(started).toEqual([0, 1, 2])
    end(1)
    await turn()
    end(3)
    expect([...(await all)].sort(([a], [b]) => a - b)).toEqual([
      [0, '0 after '],
      [1, '1 after '],
      [2, '2 after 0'],
      [3, '3 after 0,1,2'],
    ])
  })

  it('run four at once', async () => {
    const { started, work, end } = heldWork()
    const all = scheduleStages(stages([], [], [], [], [], []), work, testContext())
    await turn()
    expect(started).toEqual([0, 1, 2, 3])
    for (const number of [2, 0, 1, 3, 4, 5]) {
      end(number)
      await turn()
    }
    expect(started).toEqual([0, 1, 2, 3, 4, 5])
    expect((await all).size).toBe(6)
  })

  it('that fail stop the others, which have ended when the failure is thrown', async () => {
    const { started, work, end, fail } = heldWork()
    let thrown: unknown
    const all = scheduleStages(stages([], [], [0]), work, testContext()).catch((error: unknown) => (thrown = error))
    await turn()
    fail(0, new Error('broken'))
    await turn()
    expect(thrown).toBeUndefined()
    end(1)
    await all
    expect(thrown).toEqual(new Error('broken'))
    expect(started).toEqual([0, 1])
  })

  it('are stopped by the caller', async () => {
    const ctx = testContext()
    const { work, end } = heldWork()
    const all = scheduleStages(stages([], [0]), work, ctx)
    await turn()
    ctx.abort()
    end(0)
    await expect(all).rejects.toThrow('aborted')
  })
})
