import { CloudimgError, type ErrorCode } from '../core/error.ts'

interface SshFailure {
  readonly pattern: RegExp
  readonly code: ErrorCode
  readonly reason: 'host-key' | 'unknown-host-key' | 'authentication' | 'name' | 'connect' | 'configuration'
  readonly why: string
  readonly hint: (host: string) => string
}

// First match wins: a changed key is followed by "verification failed" too. The texts are OpenSSH's own, LC_ALL=C.
const failures: readonly SshFailure[] = [
  {
    pattern: /REMOTE HOST IDENTIFICATION HAS CHANGED/i,
    code: 'HOST_KEY_CHANGED',
    reason: 'host-key',
    why: 'its host key is not the one in known_hosts',
    hint: host =>
      `if the host was reinstalled, check its new key and run ssh-keygen -R ${host}; else somebody may be listening`,
  },
  {
    pattern: /host key verification failed|no .* host key is known/i,
    code: 'HOST_UNREACHABLE',
    reason: 'unknown-host-key',
    why: 'its host key is unknown',
    hint: () => 'add the key to known_hosts, or accept unknown keys with --accept-new-host-keys',
  },
  {
    pattern: /permission denied|too many authentication failures|no more authentication methods/i,
    code: 'HOST_UNREACHABLE',
    reason: 'authentication',
    why: 'it refused every key and password offered',
    hint: host => `see that ssh ${host} logs in, name a key with --identity, or give a password with --ask-password`,
  },
  {
    pattern: /could not resolve hostname|name or service not known/i,
    code: 'HOST_UNREACHABLE',
    reason: 'name',
    why: 'its name cannot be resolved',
    hint: () => 'check the spelling, or use its address',
  },
  {
    pattern: /bad configuration option|bad owner or permissions|can't open user config file/i,
    code: 'HOST_UNREACHABLE',
    reason: 'configuration',
    why: 'ssh refuses its configuration',
    hint: host => `see what ssh -v ${host} says`,
  },
  {
    pattern: /connection refused|timed out|no route to host|network is unreachable|host is down/i,
    code: 'HOST_UNREACHABLE',
    reason: 'connect',
    why: 'no connection',
    hint: host => `see that ${host} is up and that ssh ${host} works from here`,
  },
]

/** What ssh's own exit code 255 means; the one place where its words are read. */
export function classifySshFailure(host: string, stderr: string): CloudimgError {
  const found = failures.find(failure => failure.pattern.test(stderr))
  const last = stderr.trim().split('\n').at(-1)?.trim() ?? ''
  if (found === undefined) {
    return new CloudimgError(
      'HOST_UNREACHABLE',
      `talking to "${host}" over ssh: ${last === '' ? 'the connection was lost' : `the connection was lost: ${last}`}`,
      {
        hint: 'see that the host is up, then run the same command again',
        data: { host, reason: 'lost', retryable: true },
      },
    )
  }
  const why = last === '' || found.reason === 'host-key' ? found.why : `${found.why} (${last})`
  return new CloudimgError(found.code, `connecting to "${host}" over ssh: ${why}`, {
    hint: found.hint(host),
    data: { host, reason: found.reason, ...(found.reason === 'connect' ? { retryable: true } : {}) },
  })
}
