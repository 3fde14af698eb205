import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { importFile } from './import-images.ts'
import { log, reasonOf } from './log.ts'
import { imagesDir } from './paths.ts'
import { profile } from './version.ts'

/** Newer releases import what is new or changed after two quiet seconds, half a file included. (facts/k3s.md §4.2) */
export function watchImages(): void {
  if (!profile.watchesImages) return
  let done = snapshot()
  let pending = done
  const look = async (): Promise<void> => {
    const now = snapshot()
    const settled = [...now].filter(([file, mark]) => done.get(file) !== mark && pending.get(file) === mark)
    pending = now
    done = new Map([...done, ...settled])
    for (const [file] of settled) {
      await importFile(join(imagesDir, file)).catch((error: unknown) => {
        log('error', `Error encountered while importing ${join(imagesDir, file)}: ${reasonOf(error)}`)
      })
    }
    setTimeout(() => void look(), 2000)
  }
  setTimeout(() => void look(), 2000)
}

function snapshot(): ReadonlyMap<string, string> {
  if (!existsSync(imagesDir)) return new Map()
  const files = readdirSync(imagesDir, { withFileTypes: true }).filter(entry => entry.isFile())
  return new Map(
    files.map(({ name }) => {
      const { size, mtimeMs } = statSync(join(imagesDir, name))
      return [name, `${size} ${mtimeMs}`]
    }),
  )
}
