import type { Context } from '../core/context.ts'
import type { ReadonlyHost } from '../host/host.ts'
import { matchesContent, type Probe } from '../runtime/step.ts'
import type { Holes } from './holes.ts'

/** Whether what the probe says is true of the host now. Changes nothing. */
export async function holds(probe: Probe, host: ReadonlyHost, holes: Holes, ctx: Context): Promise<boolean> {
  switch (probe.probe) {
    case 'files': {
      const states = await host.stat(
        probe.files.map(file => file.path),
        ctx,
      )
      return probe.files.every((file, index) => states[index]?.digest === file.digest)
    }
    case 'content': {
      const text = await host.read(probe.path, ctx)
      return text !== undefined && matchesContent(text, probe.content, await holes.known(probe.content, ctx))
    }
    case 'command': {
      const result = await host.look(probe.argv, ctx)
      return result.code === 0 && (probe.expect === 'zero' || result.stdout.trim() === probe.expect.stdout)
    }
    case 'all': {
      for (const part of probe.of) if (!(await holds(part, host, holes, ctx))) return false
      return true
    }
  }
}
