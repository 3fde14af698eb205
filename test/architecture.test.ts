import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { describe, expect, it } from 'vitest'

// DESIGN.md, "The house": which room may import which, and who alone may import a foreign package.
const below = {
  core: [],
  io: ['core'],
  kubefile: ['core'],
  artifact: ['core', 'io'],
  oci: ['core', 'io'],
  host: ['core', 'io'],
  workload: ['core', 'io', 'oci'],
  trust: ['core', 'io', 'oci'],
  runtime: ['core', 'host', 'artifact'],
  build: ['core', 'io', 'kubefile', 'artifact', 'oci', 'workload', 'trust'],
  deploy: ['core', 'io', 'oci', 'host', 'runtime', 'trust', 'workload'],
  prove: ['core', 'io', 'kubefile', 'artifact', 'oci', 'host', 'workload', 'trust', 'runtime', 'build', 'deploy'],
  cli: [
    'core',
    'io',
    'kubefile',
    'artifact',
    'oci',
    'host',
    'workload',
    'trust',
    'runtime',
    'build',
    'deploy',
    'prove',
  ],
} as const satisfies Record<string, readonly string[]>

type Room = keyof typeof below

const owners: Readonly<Record<string, readonly Room[]>> = {
  undici: ['io'],
  tar: ['io'],
  zx: ['io'],
  dockerode: ['build'],
  bcryptjs: ['oci'],
  commander: ['cli'],
  '@clack/prompts': ['cli'],
}

interface Import {
  readonly file: string
  readonly room: Room
  readonly target: string
  readonly typeOnly: boolean
}

const source = join(import.meta.dirname, '../src')

function readImports(): readonly Import[] {
  const files = readdirSync(source, { recursive: true, withFileTypes: true }).filter(
    entry => entry.isFile() && entry.name.endsWith('.ts'),
  )
  return files.flatMap(entry => {
    const path = join(entry.parentPath, entry.name)
    const file = relative(source, path)
    if (!file.includes('/')) return []
    const text = readFileSync(path, 'utf8')
    const statements = text.matchAll(/^(?:import|export)\s+(type\s)?[^'"]*?from\s+'([^']+)'|import\(\s*'([^']+)'/gms)
    return [...statements].map(match => ({
      file,
      room: file.split('/')[0] as Room,
      target: match[2] ?? match[3]!,
      typeOnly: match[1] !== undefined,
    }))
  })
}

function roomOf({ file, target }: Import): string | undefined {
  if (!target.startsWith('.')) return undefined
  return relative(source, join(source, file, '..', target)).split('/')[0]
}

const imports = readImports()

describe('the house', () => {
  it('has imports to look at, in rooms that the table knows', () => {
    expect(imports.length).toBeGreaterThan(100)
    expect([...new Set(imports.map(found => found.room))].filter(room => !(room in below))).toEqual([])
  })

  it('is entered from above only', () => {
    const wrong = imports.filter(found => {
      const room = roomOf(found)
      if (room === undefined || room === found.room) return false
      const allowed: readonly string[] = below[found.room] ?? []
      // The runtimes describe artifacts but never fetch one.
      return !allowed.includes(room) || (found.room === 'runtime' && room === 'artifact' && !found.typeOnly)
    })
    expect(wrong.map(found => `${found.file} imports ${found.target}`)).toEqual([])
  })

  it('has one door for each foreign package', () => {
    const wrong = imports.filter(found => {
      const name = found.target.startsWith('@')
        ? found.target.split('/').slice(0, 2).join('/')
        : found.target.split('/')[0]!
      return !found.target.startsWith('.') && owners[name]?.includes(found.room) === false
    })
    expect(wrong.map(found => `${found.file} imports ${found.target}`)).toEqual([])
  })

  it('is silent: only cli/ prints, prompts or exits', () => {
    const talk = /\bconsole\.|process\.(?:stdout|stderr|exit\b|exitCode)/
    const files = [...new Set(imports.map(found => found.file))].filter(file => !file.startsWith('cli/'))
    expect(files.filter(file => talk.test(readFileSync(join(source, file), 'utf8')))).toEqual([])
  })

  it('asks in one place where the code lies: a bundle lies elsewhere', () => {
    const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.ts'))
    const asking = files.filter(file => readFileSync(join(source, file), 'utf8').includes('import.meta'))
    expect(asking).toEqual(['io/package-file.ts'])
  })

  it('is written in erasable TypeScript without default exports, helpers or utils', () => {
    const files = [...new Set(imports.map(found => found.file))]
    expect(files.filter(file => /(?:^|\/)(?:utils?|helpers?|common|misc)\.ts$/.test(file))).toEqual([])
    expect(files.filter(file => /^export default/m.test(readFileSync(join(source, file), 'utf8')))).toEqual([])
  })
})
