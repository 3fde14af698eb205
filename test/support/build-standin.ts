import { createCipheriv, createHash } from 'node:crypto'
import { open, readFile, rename } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import type { Arch } from '../../src/core/platform.ts'

export interface StandinOptions {
  /** The tag it claims to be, `v1.31.4+k3s1`. */
  readonly version: string
  readonly arch: Arch
  /** Bytes of the whole file; 60 MiB unless told. */
  readonly size?: number
}

const defaultSize = 60 * 1024 * 1024
const source = (name: string): string => fileURLToPath(new URL(`k3s-standin/${name}`, import.meta.url))

/** As `uname -m` says it, in the shell's patterns. */
const machines: Readonly<Record<Arch, string>> = {
  amd64: 'x86_64',
  arm64: 'aarch64',
  arm: 'arm*',
  s390x: 's390x',
}

/**
 * Makes the stand-in's one file: a shell script that unpacks and runs the bundle behind it, padded with bytes that do not compress.
 * The same options and sources give the same bytes.
 */
export async function buildStandin(to: string, { version, arch, size = defaultSize }: StandinOptions): Promise<void> {
  const bundle = await bundleStandin(version)
  const header = await renderHeader(bundle, version, arch)
  const used = header.length + bundle.length
  if (size < used) throw new Error(`building a stand-in: ${size} bytes are too few, it needs ${used}`)
  const temp = `${to}.tmp-${process.pid}`
  const file = await open(temp, 'w', 0o755)
  try {
    await file.writev([header, bundle])
    for (const block of noise(`${version} ${arch}`, size - used)) await file.write(block)
    await file.chmod(0o755)
  } finally {
    await file.close()
  }
  await rename(temp, to)
}

/** What identifies a stand-in's code: sources and bundler. */
export async function standinCodeHash(version: string): Promise<string> {
  const [bundle, header] = [await bundleStandin(version), await readFile(source('header.sh'))]
  return createHash('sha256').update(bundle).update(header).digest('hex')
}

const bundles = new Map<string, Promise<Buffer>>()

async function bundleStandin(version: string): Promise<Buffer> {
  const known = bundles.get(version)
  if (known !== undefined) return await known
  const fresh = bundleSources(version)
  bundles.set(version, fresh)
  return await fresh
}

async function bundleSources(version: string): Promise<Buffer> {
  const result = await build({
    entryPoints: [source('main.ts')],
    bundle: true,
    write: false,
    platform: 'node',
    format: 'esm',
    target: 'node22',
    legalComments: 'none',
    define: { STANDIN_VERSION: JSON.stringify(version) },
    // Packages in CommonJS ask for Node's own modules by require().
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
    absWorkingDir: fileURLToPath(new URL('../..', import.meta.url)),
    logLevel: 'silent',
  })
  const [output] = result.outputFiles
  if (output === undefined) throw new Error('bundling the stand-in: no output')
  return Buffer.from(output.contents)
}

/** The header says at which byte the bundle begins, and so its own length, in a field of fixed width. */
async function renderHeader(bundle: Buffer, version: string, arch: Arch): Promise<Buffer> {
  const template = await readFile(source('header.sh'), 'utf8')
  const hash = createHash('sha256').update(bundle).update(version).digest('hex')
  const filled = template
    .replaceAll('@VERSION@', version)
    .replaceAll('@HASH@', hash)
    .replaceAll('@BUNDLE_BYTES@', String(bundle.length))
    .replaceAll('@MACHINE@', machines[arch])
  const offset = String(Buffer.byteLength(filled) - '@BUNDLE_OFFSET@'.length + 8 + 1).padStart(8, '0')
  return Buffer.from(filled.replace('@BUNDLE_OFFSET@', offset))
}

/** Bytes that look random and are the same for the same seed: an AES keystream. */
export function* noise(seed: string, bytes: number): Generator<Buffer> {
  const key = createHash('sha256').update(seed).digest()
  const cipher = createCipheriv('aes-256-ctr', key, Buffer.alloc(16))
  const block = Buffer.alloc(1024 * 1024)
  for (let left = bytes; left > 0; left -= block.length)
    yield cipher.update(block.subarray(0, Math.min(left, block.length)))
}
