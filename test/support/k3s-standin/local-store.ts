import { readIfPresent, writeWhole } from './files.ts'
import { Conflict, type Key, type KubeObject, type PutOptions, type Store } from './store.ts'

interface State {
  readonly revision: number
  readonly objects: Readonly<Record<Key, KubeObject>>
}

/** All objects in one file, replaced whole at every write: what was acknowledged survives a power cut. */
export class LocalStore implements Store {
  private readonly path: string
  private readonly objects: Map<Key, KubeObject>
  private revision: number

  constructor(path: string) {
    this.path = path
    const state = JSON.parse(readIfPresent(path) ?? '{"revision":0,"objects":{}}') as State
    this.objects = new Map(Object.entries(state.objects))
    this.revision = state.revision
  }

  async get(key: Key): Promise<KubeObject | undefined> {
    return this.objects.get(key)
  }

  async list(prefix: string): Promise<readonly KubeObject[]> {
    return [...this.objects]
      .filter(([key]) => key.startsWith(prefix))
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([, object]) => object)
  }

  async put(key: Key, object: KubeObject, { expect, volatile = false }: PutOptions = {}): Promise<KubeObject> {
    const present = this.objects.get(key)?.metadata.resourceVersion ?? 'absent'
    if (expect !== undefined && expect !== present) throw new Conflict(`expected ${expect}, found ${present}`)
    const written = { ...object, metadata: { ...object.metadata, resourceVersion: String(++this.revision) } }
    this.objects.set(key, written)
    if (!volatile) this.save()
    return written
  }

  async delete(key: Key): Promise<KubeObject | undefined> {
    const object = this.objects.get(key)
    if (!this.objects.delete(key)) return undefined
    this.revision++
    this.save()
    return object
  }

  async dump(): Promise<readonly (readonly [Key, KubeObject])[]> {
    return [...this.objects]
  }

  private save(): void {
    writeWhole(this.path, JSON.stringify({ revision: this.revision, objects: Object.fromEntries(this.objects) }))
  }
}

/** Makes a file that `LocalStore` opens. */
export function writeState(path: string, objects: readonly (readonly [Key, KubeObject])[]): void {
  const revisions = objects.map(([, object]) => Number(object.metadata.resourceVersion ?? 0))
  writeWhole(path, JSON.stringify({ revision: Math.max(0, ...revisions), objects: Object.fromEntries(objects) }))
}
