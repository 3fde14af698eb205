// node store-worker.ts HOME NUMBER MILLISECONDS: takes images into a store, names them, reads them back, removes them and
// collects garbage, as fast as it can. Prints what it did as JSON, or dies of what was not there.
import { collectGarbage } from '../../src/oci/store/collect-garbage.ts'
import { checkStore } from '../../src/oci/store/fsck/fsck.ts'
import { openStore, type Store } from '../../src/oci/store/store.ts'
import { seededRandom } from './noise.ts'
import { sampleIndex } from './sample-image.ts'

const [home = '', number = '0', milliseconds = '0'] = process.argv.slice(2)
const ctx = { signal: new AbortController().signal, events: () => {} }
const random = seededRandom(Number(number) + 1)
const done = { taken: 0, present: 0, removed: 0 }

/** As a command does it: a store of its own, forgotten with all its pins at the end. */
async function command(work: (store: Store) => Promise<void>): Promise<void> {
  const store = await openStore(home)
  try {
    await work(store)
  } finally {
    store.close()
  }
}

/** Few images, wanted by all: most blobs are there already, many with nobody's name on them. */
async function take(store: Store): Promise<void> {
  const { all, index } = sampleIndex(['amd64', 'arm64'], Buffer.from(`image ${Math.floor(random() * 5)}`))
  for (const { descriptor, source } of all) {
    const written = await store.write(descriptor, source, ctx)
    done[written === 'present' ? 'present' : 'taken']++
  }
  const name = `image:${number}`
  await store.tag(name, index.descriptor, ctx)
  for (const { descriptor } of all) await store.read(descriptor, 1_000_000, ctx)
  if (random() < 0.5) await store.untag({ registry: 'docker.io', repository: 'library/image', tag: number })
}

const until = Date.now() + Number(milliseconds)
while (Date.now() < until) {
  if (random() < 0.7) await command(take)
  else await command(async ({ layout }) => void (done.removed += (await collectGarbage(layout, {}, ctx)).blobs.length))
}
await command(async store => {
  const { faults } = await checkStore(store, ctx)
  if (faults.length > 0) throw new Error(JSON.stringify(faults))
})
console.log(JSON.stringify(done))
