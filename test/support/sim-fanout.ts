import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import type { ExecResult } from '../../src/host/shell.ts'
import { digestOfBuffer, type SimHost, sizeOfBuffer } from './sim-host.ts'
import type { SimWorld } from './sim-world.ts'
import { hexOf } from '../../src/core/digest.ts'

const directory = '/run/cloudimg-fanout'
const unit = 'cloudimg-fanout'
const no = (code: number, stderr: string): ExecResult => ({ code, stdout: '', stderr })
const ok: ExecResult = { code: 0, stdout: '', stderr: '' }

/** What a host may do to those who fetch from it. */
export type PeerFault = 'cannot open' | 'closed' | 'lies' | 'breaks off'

/** The product's scripts of the fan-out, as a host of the simulation does them. Undefined for other scripts. */
export function simFanout(
  world: SimWorld,
  host: SimHost,
  script: string,
  args: readonly string[],
  input: string,
): ExecResult | Promise<ExecResult> | undefined {
  switch (script) {
    case 'fanout-open':
      endFanout(host)
      if (host.peerFault === 'cannot open') return no(1, 'Unknown assignment: TemporaryFileSystem=/:ro')
      host.units.set(unit, { active: true, enabled: false })
      host.write(`${directory}/path`, input.trim())
      host.opened++
      host.letGoOfFanout = world.clock.at(world.clock.now() + Number(args[3]) * 1000, () => endFanout(host))
      return ok
    case 'fanout-share': {
      const file = host.files.get(args[1]!)
      if (file === undefined) return no(1, 'no such file')
      host.files.set(`${directory}/${host.text(`${directory}/path`)}/${args[2]}`, file)
      return ok
    }
    case 'fanout-close':
      endFanout(host)
      for (const path of host.files.keys()) if (path.endsWith('.pack')) host.files.delete(path)
      return ok
    case 'unpack-pack':
      return unpack(world, host, args)
    case 'fanout-fetch':
      return fetch(world, host, args, input.trim())
    default:
      return undefined
  }
}

async function unpack(world: SimWorld, host: SimHost, args: readonly string[]): Promise<ExecResult> {
  const { content } = host.files.get(args[1]!)!
  host.place(args[0]!, await world.readTar(Readable.from([content])))
  return ok
}

/** Its unit stops: by order, by its time limit, or as the machine goes down. */
export function endFanout(host: SimHost): void {
  host.letGoOfFanout()
  host.units.delete(unit)
  for (const path of host.files.keys()) if (path.startsWith(`${directory}/`)) host.files.delete(path)
}

/** What anybody who knows the URL gets. */
function served(world: SimWorld, url: string): { readonly peer: SimHost; readonly path: string } | undefined {
  const { hostname, pathname } = new URL(url)
  const peer = [...world.hosts.values()].find(host => host.address === hostname)
  const path = `${directory}${pathname}`
  return peer !== undefined && peer.runs(unit) && peer.files.has(path) ? { peer, path } : undefined
}

async function fetch(world: SimWorld, host: SimHost, args: readonly string[], url: string): Promise<ExecResult> {
  const [, part = '', to = '', mode = '', sum = '', seconds = ''] = args
  const found = served(world, url)
  if (found === undefined || found.peer.peerFault === 'closed') {
    await world.clock.sleep(5000)
    return no(1, 'curl: exit code 7')
  }
  const { peer, path } = found
  const { content } = peer.files.get(path)!
  const size = sizeOfBuffer(content)
  const have = host.parts.get(part) ?? 0
  const wanted = peer.peerFault === 'breaks off' ? Math.floor((size - have) / 2) : size - have
  const got = (await world.network?.transfer(peer.name, host.name, wanted, Number(seconds) * 1000)) ?? wanted
  host.parts.set(part, have + got)
  if (have + got < size) return no(1, 'curl: exit code 28')
  host.parts.delete(part)
  const lie = peer.peerFault === 'lies' ? Buffer.from(randomUUID()) : content
  if (hexOf(digestOfBuffer(lie)) !== sum) return no(46, '')
  host.change(`fetch ${to} from ${peer.name}`)
  host.files.set(to, { content, mode: Number.parseInt(mode, 8) })
  return ok
}
