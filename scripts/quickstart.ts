// npm run quickstart: the whole way on this machine, from a Kubefile to the plan of a cluster; with `-- --deploy` (root)
// on to a running node, on a host made from kernel namespaces that has no way out.
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ChildProcess, spawn } from 'node:child_process'
import { $ } from 'zx'
import { planExample } from './quickstart/example-plan.ts'

const root = join(import.meta.dirname, '..')
const version = 'v1.31.4+k3s1'
const deploy = process.argv.includes('--deploy')
const platforms = 'linux/amd64,linux/arm64'

const work = await mkdtemp(join(tmpdir(), 'cloudimg-quickstart-'))
const home = { operator: join(work, 'operator'), site: join(work, 'site') }
const running: ChildProcess[] = []

function say(text: string): void {
  console.log(`\n\u001B[1m${text}\u001B[22m`)
}

/** Shows the command as a person would type it, and runs the checkout's cloudimg. */
async function cloudimg(store: string, args: readonly string[]): Promise<string> {
  console.log(`$ cloudimg ${args.map(arg => (/^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg}'`)).join(' ')}`)
  const env = { ...process.env, CLOUDIMG_HOME: store, XDG_STATE_HOME: join(work, 'state') }
  const result = await $({
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
    verbose: false,
  })`${process.execPath} ${join(root, 'bin/cloudimg.js')} ${args}`
  process.stdout.write(result.stdout)
  return result.stdout
}

/** Upstream's release where it can be reached; else one that the tests make, of the same names and formats. */
async function findRelease(): Promise<{ readonly flags: readonly string[]; readonly standIn: boolean }> {
  const forced = process.env.CLOUDIMG_QUICKSTART_RELEASE === 'stand-in'
  if (!forced && (await isReachable())) {
    console.log(`taking k3s ${version} from https://github.com/k3s-io/k3s/releases`)
    return { flags: [], standIn: false }
  }
  console.log(
    `github.com cannot be reached: a stand-in for k3s ${version} takes its place (same files, runs no containers)`,
  )
  const { makeStandinRelease } = await import('../test/support/standin-release.ts')
  const directory = join(work, 'stand-in-release')
  await mkdir(directory)
  await makeStandinRelease(directory, { tag: version, arches: ['amd64', 'arm64'] })
  return { flags: ['--mirror', `k3s=${directory}`], standIn: true }
}

async function isReachable(): Promise<boolean> {
  try {
    const response = await fetch('https://github.com/k3s-io/k3s/releases/latest', {
      method: 'HEAD',
      redirect: 'manual',
      signal: AbortSignal.timeout(5000),
    })
    return response.status < 500
  } catch {
    return false
  }
}

/** The embedded registry over an empty store of its own, on any free port of 127.0.0.1. */
async function startRegistry(): Promise<string> {
  const store = join(work, 'registry')
  const child = spawn(process.execPath, [join(root, 'bin/cloudimg.js'), 'serve', '--port', '0', '--json'], {
    env: { ...process.env, CLOUDIMG_HOME: store },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  running.push(child)
  const first = await new Promise<string>((resolve, reject) => {
    child.stdout.once('data', (chunk: Buffer) => resolve(chunk.toString('utf8')))
    child.once('exit', code => reject(new Error(`cloudimg serve ended with ${code}`)))
  })
  return (JSON.parse(first) as { host: string }).host
}

/** A plan without the files and commands of its steps. */
function outline(plan: string): string {
  return plan
    .split('\n')
    .filter(line => !line.startsWith('      '))
    .join('\n')
}

async function main(): Promise<void> {
  say('1. A release of k3s')
  const { flags, standIn } = await findRelease()

  say(`2. Build: one Kubefile, two architectures${standIn ? ' (stand-in k3s)' : ''}`)
  const kubefile = join(work, 'Kubefile')
  await writeFile(kubefile, await readFile(join(root, 'kubefiles/quickstart/Kubefile')))
  const registry = await startRegistry()
  const name = `${registry}/quickstart${standIn ? '-stand-in' : ''}:v1.31.4`
  await cloudimg(home.operator, [
    'build',
    '-f',
    kubefile,
    '-t',
    name,
    '--platform',
    platforms,
    '--build-arg',
    `K3S_VERSION=${version}`,
    ...flags,
    join(root, 'kubefiles/quickstart'),
  ])

  say('3. Push it to a registry (cloudimg serve, on this machine), and pull it as another site would')
  await cloudimg(home.operator, ['push', name])
  await cloudimg(home.site, ['pull', name])
  await cloudimg(home.site, ['images'])

  say('4. What is in it')
  const rootfs = join(work, 'rootfs')
  await cloudimg(home.site, ['unpack', name, rootfs, '--platform', 'linux/amd64'])
  console.log((await $({ cwd: rootfs })`find . -type f -printf '%9s  %p\n' | sort -k2`).stdout)

  if (deploy) {
    const { deployOnLabHost } = await import('./quickstart/deploy.ts')
    say('5. Deploy it on a host without a way out')
    await deployOnLabHost(name, { standIn, cloudimg: args => cloudimg(home.site, args) })
  } else {
    say(
      '5. The plan for three hosts (nothing is connected to; --dry-run on hosts of yours shows every file and command)',
    )
    console.log(outline(await planExample(home.site, name, standIn)))
    say(`Done${standIn ? ', with a stand-in for k3s' : ''}. On hosts of your own:`)
    console.log(`  cloudimg run ${name} --servers root@HOST --agents root@HOST,root@HOST --dry-run`)
    console.log('As root, "npm run quickstart -- --deploy" goes on to a node that runs.')
  }
}

try {
  await main()
} finally {
  for (const child of running) child.kill('SIGINT')
  await rm(work, { recursive: true, force: true })
}
