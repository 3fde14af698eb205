import { spawn } from 'node:child_process'
import { strikes } from './faults.ts'
import { log } from './log.ts'

/**
 * Says READY to systemd, once, where the unit waits for it. Node has no datagram sockets of the unix kind; systemd-notify speaks
 * in the name of its parent, which is the unit's main process.
 */
export async function notifyReady(): Promise<void> {
  if (process.env['NOTIFY_SOCKET'] === undefined) return
  if (strikes('hangAtNotify')) return log('warning', 'stand-in fault hangAtNotify')
  await new Promise<void>((resolve, reject) => {
    const child = spawn('systemd-notify', ['--ready'], { stdio: 'inherit' })
    child.once('error', reject)
    child.once('close', code => (code === 0 ? resolve() : reject(new Error(`systemd-notify: exit code ${code}`))))
  })
}
