import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { must } from './command.ts'

export interface Certificates {
  /** The authority that a client must be told to trust. */
  readonly caFile: string
  readonly certFile: string
  readonly keyFile: string
}

/** A private authority and a server certificate by it, for an IP address and `localhost`, good for a day. */
export async function makeCertificates(directory: string, address: string): Promise<Certificates> {
  const caFile = join(directory, 'ca.pem')
  const caKey = join(directory, 'ca.key')
  const certFile = join(directory, 'server.pem')
  const keyFile = join(directory, 'server.key')
  const extensions = join(directory, 'server.ext')
  await selfSigned(caFile, caKey, '/CN=cloudimg test authority')
  const request = join(directory, 'server.csr')
  await must(['openssl', 'req', ...newKey(keyFile), '-subj', '/CN=cloudimg test server', '-out', request])
  await writeFile(extensions, `subjectAltName=IP:${address},IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n`)
  const signing = ['-CA', caFile, '-CAkey', caKey, '-CAcreateserial', '-days', '1', '-extfile', extensions]
  await must(['openssl', 'x509', '-req', '-in', request, ...signing, '-out', certFile])
  return { caFile, certFile, keyFile }
}

/** A certificate that is its own authority, with its key beside it. */
export async function selfSigned(certFile: string, keyFile: string, subject: string): Promise<void> {
  await must(['openssl', 'req', '-x509', '-days', '1', ...newKey(keyFile), '-subj', subject, '-out', certFile])
}

function newKey(keyFile: string): readonly string[] {
  return ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', keyFile]
}
