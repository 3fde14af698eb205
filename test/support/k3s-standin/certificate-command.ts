import { X509Certificate } from 'node:crypto'
import { cpSync, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Exit, log, unknownToStandIn } from './log.ts'
import { agentDir, serverDir, tlsDir } from './paths.ts'
import { profile, version } from './version.ts'

/**
 * `k3s certificate rotate` and `check` (facts/k3s.md §7.6). `rotate` sets what a start shall make anew aside, authorities apart; it minds
 * no k3s that runs. How `check` words its lines the facts do not tell: one for each certificate, with its file and its end.
 */
export function runCertificate(argv: readonly string[]): Promise<void> {
  const [verb, ...flags] = argv
  if (verb === 'rotate' && flags.length === 0) rotate()
  else if (verb === 'check' && profile.checksCertificates) check(flags)
  else if (verb === 'check') throw new Exit(3, `No help topic for '${verb}'`)
  else throw unknownToStandIn(`certificate ${argv.join(' ')}`)
  return Promise.resolve()
}

function rotate(): void {
  if (existsSync(tlsDir)) {
    const aside = join(serverDir, `tls-${Math.floor(Date.now() / 1000)}`)
    cpSync(tlsDir, aside, { recursive: true, preserveTimestamps: true })
    log('info', `Successfully backed up certificates to ${aside}, restart k3s server or agent to rotate certificates`)
  }
  for (const path of leafFiles())
    for (const file of [path, path.replace(/\.crt$/, '.key')]) rmSync(file, { force: true })
}

function check(flags: readonly string[]): void {
  const isTable = flags.length === 2 && flags[0] === '--output' && flags[1] === 'table'
  if (flags.length > 0 && !isTable) throw unknownToStandIn(`certificate check ${flags.join(' ')} of ${version}`)
  for (const path of leafFiles()) {
    const { subject, validTo } = new X509Certificate(readFileSync(path))
    process.stdout.write(`${path} ${subject.replaceAll('\n', ', ')} ${new Date(validTo).toISOString()}\n`)
  }
}

function leafFiles(): readonly string[] {
  return [tlsDir, agentDir]
    .flatMap(directory => (existsSync(directory) ? readdirSync(directory).map(name => join(directory, name)) : []))
    .filter(path => path.endsWith('.crt') && !path.endsWith('-ca.crt'))
    .toSorted()
}
