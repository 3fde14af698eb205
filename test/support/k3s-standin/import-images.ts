import { createReadStream, existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { gunzip, unzstd } from './decompress.ts'
import { pause, readFaults, strikes } from './faults.ts'
import { readImageArchive } from './image-archive.ts'
import { findImage, listImages, putImage, type StoredImage } from './image-store.ts'
import { log, reasonOf } from './log.ts'
import { normaliseName } from './image-name.ts'
import { imagesDir } from './paths.ts'
import { pullImage } from './pull-image.ts'
import { profile } from './version.ts'

const pins = { 'io.cri-containerd.pinned': 'pinned', 'io.cattle.k3s.pinned': 'pinned' } as const

/**
 * What k3s does with agent/images before kubelet starts: every file in byte order of names, one after the other, a failure is
 * only a log line. (facts/k3s.md §4.1, §4.2; facts/k3s-observed.md 1-6)
 */
export async function importImagesDir(): Promise<void> {
  if (!existsSync(imagesDir)) return
  unpinAll()
  const files = readdirSync(imagesDir).toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  for (const file of files) {
    const path = join(imagesDir, file)
    if (statSync(path).isDirectory()) continue
    try {
      await importFile(path)
    } catch (error) {
      log('error', `Error encountered while importing ${path}: ${reasonOf(error)}`)
    }
  }
}

/** One file of the directory, by its suffix. */
export async function importFile(path: string): Promise<void> {
  if (path.toLowerCase().endsWith('.txt')) return await pullList(path)
  const started = Date.now()
  log('info', `Importing images from ${path}`)
  const images = await readImageArchive(decompressed(path), {
    allPlatforms: true,
    toleratesMissing: profile.toleratesMissingPlatforms,
    translateRefName: refName => refName,
  })
  const slow = readFaults().slowImportMs ?? 0
  if (slow > 0) await new Promise(resolve => setTimeout(resolve, slow))
  if (strikes('exitAtImport')) {
    log('fatal', `stand-in fault exitAtImport, at ${path}`)
    process.exit(1)
  }
  for (const image of images) {
    putImage(profile.pinsImages ? { ...image, labels: { ...image.labels, ...pins } } : image)
    log('info', `Imported ${image.name}`)
  }
  log('info', `Imported images from ${path} in ${Date.now() - started}ms`)
}

/** Format is by suffix, in any case of letters, never by content. */
function decompressed(path: string): AsyncIterable<Uint8Array> {
  const name = path.toLowerCase()
  const raw = (): AsyncIterable<Uint8Array> => createReadStream(path, { highWaterMark: 1024 * 1024 })
  if (name.endsWith('.tar')) return raw()
  if (/\.(?:tar\.gz|tgz)$/.test(name)) return gunzip(raw())
  if (/\.(?:tar\.zst|tzst)$/.test(name)) return unzstd(raw())
  if (/\.(?:tar\.lz4|tar\.bz2|tbz)$/.test(name))
    throw new Error('the real k3s reads this suffix, the stand-in does not know it')
  throw new Error('unhandled file type')
}

/** A list of references to pull: offline each one that is missing costs its time-out while kubelet waits. */
async function pullList(path: string): Promise<void> {
  const names = readFileSync(path, 'utf8')
    .split('\n')
    .map(line => line.trim())
  for (const name of names.filter(line => line !== '' && findImage(line) === undefined)) {
    log('info', `Pulling image ${name}...`)
    try {
      await pullImage(normaliseName(name))
    } catch (error) {
      await pause(2000)
      log('error', `Failed to pull ${name}: ${reasonOf(error)}`)
    }
  }
}

/** k3s takes back its own pins at start and gives them anew to what it imports. */
function unpinAll(): void {
  for (const image of listImages().filter(({ labels }) => 'io.cattle.k3s.pinned' in labels)) {
    const labels = Object.fromEntries(Object.entries(image.labels).filter(([key]) => !(key in pins)))
    putImage({ ...image, labels } satisfies StoredImage)
  }
}
