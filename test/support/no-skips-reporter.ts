import { appendFileSync } from 'node:fs'
import type { Reporter, SerializedError, TestModule, Vitest } from 'vitest/node'

export interface TestCounts {
  readonly passed: number
  /** Tests, and whatever else went wrong around them: files that do not load, hooks, stray rejections. */
  readonly failed: number
  readonly skipped: readonly string[]
}

/** What a run came to. A test that did not run for any reason is skipped. */
export function countTests(modules: readonly TestModule[], strayErrors: number): TestCounts {
  const tests = modules.flatMap(module => [...module.children.allTests()])
  const inState = (state: string): typeof tests => tests.filter(test => test.result().state === state)
  const suites = modules.flatMap(module => [...module.children.allSuites()])
  const around = [...modules, ...suites].flatMap(suite => suite.errors()).length
  return {
    passed: inState('passed').length,
    failed: inState('failed').length + around + strayErrors,
    skipped: [...inState('skipped'), ...inState('pending')].map(
      test => `${test.module.relativeModuleId}: ${test.fullName}`,
    ),
  }
}

/**
 * A run with skipped tests fails: green because skipped is red. Only a run that was asked for some tests by name may leave others out.
 * Appends `PASSED FAILED SKIPPED` as a line to the file that CLOUDIMG_TEST_COUNTS names, for `.ci/run`.
 */
export class NoSkipsReporter implements Reporter {
  private asksByName = false

  onInit(vitest: Vitest): void {
    this.asksByName = vitest.config.testNamePattern !== undefined
  }

  onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]): void {
    const counts = countTests(modules, errors.length)
    const file = process.env.CLOUDIMG_TEST_COUNTS
    if (file !== undefined) appendFileSync(file, `${counts.passed} ${counts.failed} ${counts.skipped.length}\n`)
    if (this.asksByName || counts.skipped.length === 0) return
    console.error(
      `\nThese tests did not run, so this run fails:\n${counts.skipped.map(name => `  ${name}`).join('\n')}`,
    )
    process.exitCode = 1
  }
}
