import { readFileSync, writeFileSync } from 'node:fs'

/**
 * Loaded into a process by `--import`: at its end it writes its peak resident memory, in bytes, to CLOUDIMG_TEST_PEAK.
 * VmHWM and not ru_maxrss, which begins with what the parent had when it forked.
 */
const target = process.env.CLOUDIMG_TEST_PEAK
if (target !== undefined) {
  process.on('exit', () => {
    const kib = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]
    writeFileSync(target, String(Number(kib) * 1024))
  })
}
