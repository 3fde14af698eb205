import { createHash } from 'node:crypto'
import { copyFile, mkdir, readFile, rename, rm, writeFile, chmod } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Context } from '../../src/core/context.ts'
import { CloudimgError, errnoOf } from '../../src/core/error.ts'
import { run } from '../../src/io/exec.ts'
import { readdirIfPresent, statIfPresent } from '../../src/io/files.ts'
import { ensureDebianParts, type Say } from './debian.ts'
import { labPrograms } from './programs.ts'
import { labRecipe, type LabRecipe } from './root-tree-recipe.ts'

/** The Debian tree that all lab hosts share read-only, and the keys that open it. */
export interface RootTree {
  readonly path: string
  /** Private key that root and the users of every host accept. */
  readonly identityFile: string
  /** The hosts' public key, as `ssh-ed25519 AAAA…`. */
  readonly hostKey: string
}

/** Where trees are kept: one directory per recipe, complete or absent. */
export function rootTreeCache(): string {
  return join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'cloudimg-lab')
}

/** The tree of this checkout's recipe; undefined where it was not built yet. */
export async function findRootTree(): Promise<RootTree | undefined> {
  const home = treeHome()
  if ((await statIfPresent(home)) === undefined) return undefined
  return {
    path: join(home, 'rootfs'),
    identityFile: join(home, 'id_ed25519'),
    hostKey: (await readFile(join(home, 'host_key.pub'), 'utf8')).split(' ').slice(0, 2).join(' ').trim(),
  }
}

/** Builds the tree where it is missing (half a minute, from Debian's packages); root only. */
export async function ensureRootTree(say: Say, ctx: Context): Promise<RootTree> {
  const found = await findRootTree()
  if (found !== undefined) {
    say(`lab root tree: ${found.path}`)
    return found
  }
  if (process.getuid?.() !== 0) {
    throw new CloudimgError('HOST_UNSUITABLE', `building the lab's root tree "${treeHome()}": only root can`, {
      hint: 'run node scripts/test-parts.ts as root',
    })
  }
  await ensureDebianParts(labPrograms, say, ctx)
  say(`building the lab root tree from Debian packages: ${treeHome()} (about half a minute)`)
  await buildBeside(treeHome(), ctx)
  const built = await findRootTree()
  if (built === undefined) throw new CloudimgError('BUG', `building the lab's root tree: "${treeHome()}" is missing`)
  return built
}

function treeHome(): string {
  const key = createHash('sha256')
    .update(JSON.stringify([labRecipe, process.arch, process.version]))
    .digest('hex')
  return join(rootTreeCache(), key.slice(0, 16))
}

/** Readers see a complete tree or none: it is made beside and renamed. */
async function buildBeside(home: string, ctx: Context): Promise<void> {
  await removeAbandonedBuilds(dirname(home))
  const building = join(dirname(home), `.building-${process.pid}`)
  try {
    await mkdir(building, { recursive: true, mode: 0o755 })
    await makeTree(building, labRecipe, ctx)
    await rename(building, home)
  } catch (error) {
    // ENOTEMPTY: another run finished the same tree first, and ours is as good as theirs.
    if (errnoOf(error) !== 'ENOTEMPTY' && errnoOf(error) !== 'EEXIST') throw error
  } finally {
    await rm(building, { recursive: true, force: true })
  }
}

async function removeAbandonedBuilds(cache: string): Promise<void> {
  for (const name of await readdirIfPresent(cache)) {
    const pid = /^\.building-(\d+)$/.exec(name)?.[1]
    if (pid === undefined || (await statIfPresent(`/proc/${pid}`)) !== undefined) continue
    await rm(join(cache, name), { recursive: true, force: true })
  }
}

async function makeTree(home: string, recipe: LabRecipe, ctx: Context): Promise<void> {
  const root = join(home, 'rootfs')
  const options = ['--quiet', '--mode=root', '--variant=minbase', `--include=${recipe.packages.join(',')}`]
  const excludes = recipe.excludedPaths.map(path => `--dpkgopt=path-exclude=${path}`)
  await must(['mmdebstrap', ...options, ...excludes, recipe.suite, root], ctx)
  await addNode(root)
  await addKeys(home, root, ctx)
  for (const [path, content] of Object.entries(recipe.files)) await addFile(root, path, content)
  for (const user of recipe.users) {
    await must(['chroot', root, 'useradd', '-m', '-s', '/bin/bash', '-u', String(user.uid), user.name], ctx)
    if (user.password !== undefined) {
      await must(['chroot', root, 'chpasswd'], ctx, `${user.name}:${user.password}\n`)
    }
    await authorize(home, root, `home/${user.name}`)
    await must(['chroot', root, 'chown', '-R', `${user.name}:`, `/home/${user.name}/.ssh`], ctx)
    if (user.sudo !== 'none') {
      const rule = `${user.name} ALL=(ALL:ALL) ${user.sudo === 'password' ? '' : 'NOPASSWD: '}ALL\n`
      await addFile(root, `/etc/sudoers.d/${user.name}`, rule, 0o440)
    }
  }
  await must(['chroot', root, 'systemctl', '--quiet', 'set-default', 'multi-user.target'], ctx)
  await must(['chroot', root, 'systemctl', '--quiet', 'mask', ...recipe.maskedUnits], ctx)
}

/** The Node that runs this script: it is the one that the lock file brought, or a newer one of the developer's. */
async function addNode(root: string): Promise<void> {
  const target = join(root, 'usr/local/bin/node')
  await copyFile(process.execPath, target)
  await chmod(target, 0o755)
}

async function addKeys(home: string, root: string, ctx: Context): Promise<void> {
  const hostKey = join(root, 'etc/ssh/ssh_host_ed25519_key')
  for (const name of await readdirIfPresent(dirname(hostKey))) {
    if (name.startsWith('ssh_host_')) await rm(join(dirname(hostKey), name))
  }
  await must(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'lab', '-f', hostKey], ctx)
  await copyFile(`${hostKey}.pub`, join(home, 'host_key.pub'))
  await must(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'lab', '-f', join(home, 'id_ed25519')], ctx)
  await authorize(home, root, 'root')
}

async function authorize(home: string, root: string, userHome: string): Promise<void> {
  await mkdir(join(root, userHome, '.ssh'), { recursive: true, mode: 0o700 })
  await copyFile(join(home, 'id_ed25519.pub'), join(root, userHome, '.ssh/authorized_keys'))
}

async function addFile(root: string, path: string, content: string, mode = 0o644): Promise<void> {
  const target = join(root, path)
  await mkdir(dirname(target), { recursive: true })
  await writeFile(target, content, { mode })
  await chmod(target, mode)
}

async function must(argv: readonly string[], ctx: Context, input?: string): Promise<void> {
  const result = await run(argv, input === undefined ? {} : { input }, ctx)
  if (result.code === 0) return
  throw new CloudimgError(
    'COMMAND_FAILED',
    `building the lab's root tree with "${argv.join(' ')}": exit code ${result.code}: ${result.stderr.trim()}`,
  )
}

/** This checkout's labnode.sh, which makes hosts of the tree. */
export const labnodeScript = fileURLToPath(new URL('labnode.sh', import.meta.url))
