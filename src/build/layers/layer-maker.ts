import { type Context, withTask } from '../../core/context.ts'
import { Gate } from '../../core/gate.ts'
import type { Store } from '../../oci/store/store.ts'
import { type BuiltLayer, isRacy, layerKey, recallLayer, type RememberedLayer, rememberLayer } from './layer-cache.ts'
import { bytesOf, type LayerSpec } from './layer-spec.ts'
import { digestLayer, type LayerOptions, makeLayer } from './make-layer.ts'

export interface MadeLayer extends BuiltLayer {
  readonly cached: boolean
}

/** Layers in the making at once: enough to keep disk and processors busy; each packs up to three frames of 4 MiB. */
const atOnce = 3

/** Makes layers for all platforms of one build: what two of them share is made once, what an earlier build made never again. */
export class LayerMaker {
  readonly #store: Store
  readonly #options: LayerOptions
  readonly #underWay = new Map<string, Promise<MadeLayer>>()
  readonly #gate = new Gate(atOnce)

  constructor(store: Store, options: LayerOptions) {
    this.#store = store
    this.#options = options
  }

  make(spec: LayerSpec, ctx: Context): Promise<MadeLayer> {
    const key = layerKey(spec, this.#options)
    let made = this.#underWay.get(key)
    if (made === undefined) {
      made = this.#makeOrRecall(key, spec, ctx)
      this.#underWay.set(key, made)
    }
    return made
  }

  async #makeOrRecall(key: string, spec: LayerSpec, ctx: Context): Promise<MadeLayer> {
    const known = spec.isFresh === true ? undefined : await recallLayer(this.#store, key, ctx)
    if (known !== undefined && (await this.#stillHolds(known, key, spec, ctx))) return { ...known, cached: true }
    return await this.#gate.run(() => this.#makeAnew(key, spec, ctx))
  }

  async #makeAnew(key: string, spec: LayerSpec, ctx: Context): Promise<MadeLayer> {
    ctx.signal.throwIfAborted()
    return await withTask(ctx, `layer ${spec.createdBy.slice(0, 60)}`, async task => {
      const total = bytesOf(spec)
      const layer = await makeLayer(this.#store, spec, this.#options, ctx, bytes =>
        task.progress(Math.min(bytes, total), total),
      )
      await rememberLayer(this.#store, key, layer, isRacy(spec))
      task.progress(total, total)
      return { ...layer, cached: false }
    })
  }

  // A provisional layer is read once more, but not written: then its files are old enough to be trusted.
  async #stillHolds(known: RememberedLayer, key: string, spec: LayerSpec, ctx: Context): Promise<boolean> {
    if (!known.provisional) return true
    if ((await digestLayer(this.#store, spec, this.#options, ctx)) !== known.diffId) return false
    if (!isRacy(spec)) await rememberLayer(this.#store, key, known, false)
    return true
  }
}
