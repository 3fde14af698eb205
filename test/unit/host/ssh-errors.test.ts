import { describe, expect, it } from 'vitest'
import { classifySshFailure } from '../../../src/host/ssh-errors.ts'

const changed = `@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@
Host key verification failed.`

describe('classifySshFailure', () => {
  it.each([
    [changed, 'HOST_KEY_CHANGED', 'host-key'],
    ['Host key verification failed.', 'HOST_UNREACHABLE', 'unknown-host-key'],
    ['root@h: Permission denied (publickey,password).', 'HOST_UNREACHABLE', 'authentication'],
    ['ssh: Could not resolve hostname nowhere: Name or service not known', 'HOST_UNREACHABLE', 'name'],
    ['ssh: connect to host 10.0.0.9 port 22: Connection refused', 'HOST_UNREACHABLE', 'connect'],
    ['ssh: connect to host 10.0.0.9 port 22: No route to host', 'HOST_UNREACHABLE', 'connect'],
    ['command-line: line 0: Bad configuration option: foo', 'HOST_UNREACHABLE', 'configuration'],
    ['client_loop: send disconnect: Broken pipe', 'HOST_UNREACHABLE', 'lost'],
    ['', 'HOST_UNREACHABLE', 'lost'],
  ])('%s → %s (%s)', (stderr, code, reason) => {
    const error = classifySshFailure('h', stderr)
    expect(error).toMatchObject({ code, data: { host: 'h', reason } })
    expect(error.message).toContain('"h"')
    expect(error.hint).not.toBeUndefined()
  })
})
