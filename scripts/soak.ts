// npm run soak -- [--times N] [--sample N] [--seed N] [--real DIR] [SUITE…]: what CI tries in samples, tried in full. docs/soak.md
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'

const root = join(import.meta.dirname, '..')

/** Name → test files; up to half an hour each. */
const suites: Readonly<Record<string, readonly string[]>> = {
  kubefile: ['test/unit/kubefile/properties.test.ts'],
  crashes: ['test/unit/deploy/crashes.test.ts', 'test/unit/deploy/storm.test.ts'],
  kills: ['test/integration/kills.test.ts'],
  store: ['test/integration/store-processes.test.ts'],
  transport: ['test/integration/fault-proxy.test.ts'],
  installer: ['test/integration/installer-crash.test.ts'],
  power: ['test/e2e/power-cut.test.ts'],
}

const usage = `usage: npm run soak -- [OPTIONS] [SUITE…]
suites: ${Object.keys(suites).join(', ')}; all of them unless told
  --times N    N/20 million texts (kubefile), N times as many moments (kills); 20 unless told
  --sample N   so many points of each sweep instead of all of them
  --seed N     the sample with this seed
  --real DIR   power alone, with the k3s release in DIR (named as its tag, upstream's asset names) instead of the stand-in`

function readArguments() {
  try {
    const text = { type: 'string' } as const
    const options = { times: text, sample: text, seed: text, real: text }
    const { values, positionals } = parseArgs({ options, allowPositionals: true })
    const unknown = positionals.filter(name => suites[name] === undefined)
    if (unknown.length > 0) throw new Error(`there is no suite "${unknown.join(' ')}"`)
    for (const name of ['times', 'sample', 'seed'] as const)
      if (values[name] !== undefined && !/^\d+$/.test(values[name])) throw new Error(`--${name} wants a number`)
    if (values.real !== undefined && !existsSync(join(values.real, 'install.sh')))
      throw new Error(`"${values.real}" has no install.sh: name the directory of one tag`)
    return { ...values, names: positionals }
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n${usage}`)
    process.exit(2)
  }
}

const { times = '20', sample, seed, real, names } = readArguments()
const chosen = real === undefined ? (names.length > 0 ? names : Object.keys(suites)) : ['power']
const env = {
  ...process.env,
  CLOUDIMG_SOAK: times,
  ...(sample === undefined ? {} : { CLOUDIMG_SAMPLE: sample }),
  ...(seed === undefined ? {} : { CLOUDIMG_SEED: seed }),
  ...(real === undefined ? {} : { K3S_REAL_DIR: resolve(real) }),
}

const failed = chosen.filter(name => {
  console.log(`\nsoak: ${name}`)
  const vitest = join(root, 'node_modules/vitest/vitest.mjs')
  const files = suites[name]!
  return spawnSync(process.execPath, [vitest, 'run', ...files], { cwd: root, env, stdio: 'inherit' }).status !== 0
})
console.log(failed.length === 0 ? `\nsoak: ${chosen.join(', ')} passed` : `\nsoak: FAILED: ${failed.join(', ')}`)
process.exitCode = failed.length === 0 ? 0 : 1
