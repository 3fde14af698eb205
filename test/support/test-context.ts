import type { Context, Event } from '../../src/core/context.ts'

/** A context whose events are kept; `abort` cancels it. */
export function testContext(): Context & { readonly seen: Event[]; abort(): void } {
  const controller = new AbortController()
  const seen: Event[] = []
  return {
    signal: controller.signal,
    events: event => void seen.push(event),
    seen,
    abort: () => controller.abort(),
  }
}
