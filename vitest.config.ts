import { defineConfig } from 'vitest/config'
import { NoSkipsReporter } from './test/support/no-skips-reporter.ts'

const parts = { pool: 'forks', fileParallelism: false, testTimeout: 300_000, hookTimeout: 600_000 } as const

export default defineConfig({
  test: {
    reporters: ['default', new NoSkipsReporter()],
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts', 'test/*.test.ts'],
          pool: 'threads',
          isolate: false,
          testTimeout: 60_000,
        },
      },
      { test: { name: 'integration', include: ['test/integration/**/*.test.ts'], ...parts } },
      { test: { name: 'e2e', include: ['test/e2e/**/*.test.ts'], ...parts } },
    ],
  },
})
