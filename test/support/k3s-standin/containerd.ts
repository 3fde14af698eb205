import { mkdirSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { writeWhole } from './files.ts'
import { agentDir, containerdSocket } from './paths.ts'

/** Takes containerd's socket: whoever asks crictl or ctr for images gets an answer only while it is held. */
export async function startContainerd(): Promise<void> {
  mkdirSync(dirname(containerdSocket), { recursive: true, mode: 0o711 })
  mkdirSync(join(agentDir, 'containerd'), { recursive: true })
  rmSync(containerdSocket, { force: true })
  const server = createServer(socket => socket.end())
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(containerdSocket, resolve)
  })
  writeWhole(join(agentDir, 'etc/crictl.yaml'), `runtime-endpoint: unix://${containerdSocket}\n`, 0o600)
}

export async function isContainerdRunning(): Promise<boolean> {
  return await new Promise(resolve => {
    const socket = connect(containerdSocket)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
