/**
 * cloudimg beside the tools that people use today: the same inputs, the same registry, in turn, page cache warm, stores
 * empty. Medians of the rounds and their ratios; it asserts nothing, since a busy machine would break it.
 *   npm run bench -- [--only build,push,rebuild,transfer,sweep,start] [--rounds 3] [--scale 1] [--json FILE]
 */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { cp, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { ensureDebianParts } from '../scripts/lab/debian.ts'
import { testPrograms } from '../scripts/lab/programs.ts'
import { openContainerTools, startDockerd } from '../test/support/engines.ts'
import { startRealRegistry } from '../test/support/real-registry.ts'
import { makeScratch } from '../test/support/scratch.ts'
import { formatSection, machineFacts, type Section } from './report.ts'
import { buildAndPush, coldBuild, type MakeSection, rebuild, start, sweep, transfer } from './sections.ts'
import { makeWorkload, reference, warm } from './workload.ts'

const root = join(import.meta.dirname, '..')

const sections: Readonly<Record<string, MakeSection>> = {
  start,
  build: coldBuild,
  push: buildAndPush,
  rebuild,
  transfer,
  sweep,
}

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: Object.keys(sections).join(',') },
    rounds: { type: 'string', default: '3' },
    /** Of the reference workload's bytes. */
    scale: { type: 'string', default: '1' },
    json: { type: 'string' },
  },
})

const wanted = values.only.split(',').map(name => {
  const section = sections[name]
  if (section === undefined) throw new Error(`--only ${name}: one of ${Object.keys(sections).join(', ')}`)
  return section
})
const scale = Number(values.scale)

await ensureDebianParts([...testPrograms, { program: '/usr/bin/time', package: 'time' }], line => console.error(line), {
  signal: AbortSignal.timeout(15 * 60_000),
  events: () => {},
})
await using scratch = await makeScratch()
const program = await makePackage(scratch.path)
await using registry = await startRealRegistry()
await using tools = await openContainerTools()
await using docker = await startDockerd()
const workload = await makeWorkload(scratch.path, {
  k3s: Math.ceil(reference.k3s * scale),
  images: Math.ceil(reference.images * scale),
  tree: Math.ceil(reference.tree * scale),
})
await warm(workload.context)
const facts = machineFacts()
console.log(
  Object.entries(facts)
    .map(([name, value]) => `${name}: ${value}`)
    .join('\n'),
)
console.log(`workload: ${Math.round(workload.bytes / 1e6)} MB for two platforms, medians of ${values.rounds} rounds`)
const done: Section[] = []
const bench = {
  program,
  scratch: scratch.path,
  workload,
  registry: registry.host,
  tools,
  docker,
  rounds: Number(values.rounds),
}
for (const make of wanted) {
  for (const section of await make(bench)) {
    done.push(section)
    console.log(`\n${formatSection(section)}`)
  }
}
if (values.json !== undefined)
  writeFileSync(values.json, `${JSON.stringify({ facts, bytes: workload.bytes, sections: done }, undefined, 2)}\n`)

/** What npm would publish, unpacked, beside the packages that it needs. */
async function makePackage(directory: string): Promise<string> {
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: root, stdio: 'inherit' })
  const target = join(directory, 'package')
  for (const name of ['bin', 'dist', 'rootfs-templates', 'scripts/cloudimg-node', 'package.json'])
    await cp(join(root, name), join(target, name), { recursive: true })
  await symlink(join(root, 'node_modules'), join(target, 'node_modules'))
  return join(target, 'bin/cloudimg.js')
}
