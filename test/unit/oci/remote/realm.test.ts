import { describe, expect, it } from 'vitest'
import type { Endpoint } from '../../../../src/oci/remote/endpoint.ts'
import { checkRealm } from '../../../../src/oci/remote/realm.ts'

function endpoint(base: string, insecure = false): Endpoint {
  return { registry: new URL(base).host, base: new URL(base), trust: {}, insecure, challenge: undefined }
}

const far = endpoint('https://registry.example.com')
const near = endpoint('https://10.0.0.5:5000')
const loopback = endpoint('http://127.0.0.1:5000', true)

describe('checkRealm', () => {
  it.each([
    ['https://auth.example.com/token', far],
    ['https://registry.example.com:8443/token', far],
    ['https://10.0.0.6/token', near],
    ['http://127.0.0.1:5001/token', loopback],
    ['http://auth.example.com/token', endpoint('https://registry.example.com', true)],
    ['https://[fd00::1]/token', near],
  ])('takes %s', (realm, at) => {
    expect(checkRealm(realm, at).href).toBe(realm)
  })

  it.each([
    ['nonsense', far, 'not a URL'],
    ['', far, 'not a URL'],
    ['file:///etc/passwd', far, 'no web address'],
    ['http://auth.example.com/token', far, 'not https'],
    ['https://u:p@auth.example.com/token', far, 'user name'],
    ['https://169.254.169.254/latest', far, 'link-local'],
    ['https://169.254.169.254/latest', loopback, 'link-local'],
    ['https://[fe80::1]/token', near, 'link-local'],
    ['https://localhost/token', far, 'this machine'],
    ['https://127.0.0.1:8080/token', near, 'this machine'],
    ['https://[::1]/token', far, 'this machine'],
    ['https://10.0.0.6/token', far, 'private'],
    ['https://192.168.1.1/token', far, 'private'],
    ['https://[fd00::1]/token', far, 'private'],
    ['https://[::ffff:10.0.0.1]/token', far, 'private'],
  ])('refuses %s', (realm, at, why) => {
    expect(() => checkRealm(realm, at)).toThrow(why)
  })
})
