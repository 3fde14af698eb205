import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeBaseTree } from '../support/base-tree.ts'
import { cloudimg, cloudimgJson, storeOf } from '../support/cloudimg.ts'
import { attempt } from '../support/command.ts'
import { RunBuilder, runLeftovers } from '../support/run-build.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'

let scratch: Scratch
let builder: RunBuilder

const at = (...parts: string[]): string => join(scratch.path, ...parts)

beforeAll(async () => {
  scratch = await makeScratch()
  builder = new RunBuilder({ home: at('home') })
  await makeBaseTree(at('base'))
  await writeFile(at('base/Kubefile'), 'FROM scratch\nCOPY . /\nRUN rm /Kubefile\n')
  await cloudimgJson(['build', at('base'), '-t', 'base'], builder.place)
})
afterAll(async () => {
  await scratch[Symbol.asyncDispose]()
})

it('its shell scripts are clean', async () => {
  const directory = resolve(import.meta.dirname, '../../scripts/run')
  const names = (await readdir(directory)).map(name => join(directory, name))
  expect((await attempt(['shellcheck', '-s', 'sh', '-S', 'warning', ...names])).stdout).toBe('')
})

describe('what a command does becomes its layer', () => {
  it('adds, changes and deletes, and names no parent that is as it was', async () => {
    const built = await builder.build([
      'RUN mkdir -p /srv/a /srv/b && echo one >/srv/a/one && echo two >/srv/a/two && echo three >/srv/b/three && chmod 700 /srv/b',
      'RUN rm /srv/a/one && rm -r /srv/b && echo more >>/srv/a/two && touch /etc/passwd && ln -s a /srv/link',
    ])
    expect(await builder.topLayer(built)).toEqual(
      [
        '---------- 0/0 srv/a/.wh.one',
        '-rw-r--r-- 0/0 srv/a/two',
        '---------- 0/0 srv/.wh.b',
        'lrwxrwxrwx 0/0 srv/link -> a',
      ].sort(byPath),
    )
    const tree = await builder.tree('changes')
    expect([...tree.keys()].filter(path => path.startsWith('srv'))).toEqual(['srv', 'srv/a', 'srv/a/two', 'srv/link'])
  })

  it('tells a directory that was replaced by another from one that is still there', async () => {
    const built = await builder.build([
      'RUN mkdir -p /d/sub /e && echo x >/d/x && echo y >/d/sub/y && echo z >/e/z',
      'RUN rm -r /d && mkdir -p /d/sub && echo new >/d/new && rm -r /e && echo file >/e',
    ])
    expect(await builder.topLayer(built)).toEqual(
      ['-rw-r--r-- 0/0 d/new', '---------- 0/0 d/sub/.wh.y', '---------- 0/0 d/.wh.x', '-rw-r--r-- 0/0 e'].sort(byPath),
    )
    expect((await builder.tree('replaced')).get('e')).toMatchObject({ type: 'file', size: 5 })
  })

  it('keeps owners, modes, hard links and capabilities', async () => {
    const built = await builder.build([
      'RUN cp /bin/busybox /bin/capable && setcap cap_net_bind_service=ep /bin/capable && echo a >/a && ln /a /z && chown 1000:77 /a && chmod 4750 /a && mkfifo /pipe',
    ])
    expect(await builder.topLayer(built)).toEqual([
      '-rwsr-x--- 1000/77 a',
      '-rwxr-xr-x 0/0 bin/capable',
      'prw-r--r-- 0/0 pipe',
      'hrwsr-x--- 1000/77 z link to a',
    ])
    const digest = built.platforms[0]!.layers.at(-1)!.digest.slice('sha256:'.length)
    const { stdout } = await attempt([
      'grep',
      '-ac',
      'SCHILY.xattr.security.capability',
      join(storeOf(builder.place), 'blobs/sha256', digest),
    ])
    expect(stdout.trim()).toBe('1')
    await builder.build(['RUN setcap -v cap_net_bind_service=ep /bin/capable && [ "$(stat -c %h /a)" = 2 ]'], [], 'out')
  })

  it('makes no layer where nothing but times changed', async () => {
    const built = await builder.build(['RUN touch /etc/passwd /bin && chmod 1777 /tmp'])
    expect(built.platforms[0]!.layers).toHaveLength((await builder.build([])).platforms[0]!.layers.length)
  })
})

describe('where and how a command runs', () => {
  it('has the environment, user, directory and host name of its Kubefile', async () => {
    const built = await builder.build([
      'ARG A=arg',
      'ENV E=env A2=$A',
      'WORKDIR /srv/app',
      'USER app',
      'WORKDIR own',
      'RUN echo "$A $E $A2 $HOME $(id -u):$(id -g) $(id -G) $(pwd) $(hostname) $(umask)" >seen',
    ])
    const tree = await builder.tree('environment')
    expect(tree.get('srv/app/own/seen')?.owner).toBe('1000:1000')
    expect(built.platforms[0]!.layers.length).toBeGreaterThan(0)
    const text = await fileOf('srv/app/own/seen')
    expect(text).toBe('arg env arg /home/app 1000:1000 1000 77 /srv/app/own cloudimg 0022\n')
  })

  it('takes shell, exec and heredoc forms', async () => {
    await builder.build([
      'SHELL ["/bin/sh", "-ec"]',
      'RUN echo shell >>/forms',
      String.raw`RUN ["/bin/sh", "-c", "echo exec $0 >>/forms", "zero"]`,
      'RUN <<EOF\necho heredoc >>/forms\nEOF',
      'RUN cat <<"ONE" >>/forms && cat <<TWO >>/forms\n$one\nONE\ntwo\nTWO',
      'RUN <<EOF\n#!/bin/sh -e\necho "script $0" >>/forms\nEOF',
    ])
    expect(await fileOf('forms')).toBe('shell\nexec zero\nheredoc\n$one\ntwo\nscript /dev/pipes/EOF\n')
  })

  it('uses this machine’s programs where the tree has no shell', async () => {
    await builder.build(
      ['RUN printf "%s %s" "$ARCH" "$(pwd)" >seen && touch /usr/nothing 2>/dev/null || echo " read-only" >>seen'],
      [],
      'scratch',
    )
    expect(await fileOf('seen')).toMatch(/^(amd64|arm64) \/rootfs read-only\n$/)
    expect([...(await builder.tree('toolbox')).keys()]).toEqual(['seen'])
  })

  it('uses a toolbox image that is named', async () => {
    await builder.build(
      ['RUN echo from the image >/rootfs/seen; ls /home 2>/dev/null >>/rootfs/seen; ls / >>/rootfs/seen'],
      ['--toolbox', 'base'],
      'scratch',
    )
    expect(await fileOf('seen')).toContain('from the image')
  })

  it('ends everything that a command left running', async () => {
    await builder.build(['RUN (sleep 4242 & ) ; echo done >/done'])
    const { stdout } = await attempt(['pgrep', '-f', 'sleep 4242'])
    expect(stdout).toBe('')
  })
})

describe('mounts', () => {
  it('bind the context, stages and images, and leave no trace', async () => {
    await writeFile(at('home/context-note'), '')
    const args = await builder.args([
      'FROM base AS one',
      'RUN echo made >/made',
      'FROM base',
      'RUN --mount=target=/ctx --mount=type=bind,from=one,source=/made,target=/m --mount=type=bind,from=base,source=etc,target=/e,rw cat /ctx/Kubefile /m >/all && echo x >/e/new && ls /e >>/all && ! touch /ctx/y 2>/dev/null',
    ])
    await cloudimgJson(args, builder.place)
    const all = await fileOf('all')
    expect(all).toContain('FROM base AS one')
    expect(all).toContain('made\ngroup\nnew\npasswd\n')
    const tree = await builder.tree('binds')
    for (const path of ['ctx', 'm', 'e']) expect(tree.has(path)).toBe(false)
  })

  it('keep a cache from build to build, and forget a tmpfs', async () => {
    const line = (n: number): string =>
      `RUN --mount=type=cache,target=/c,id=kept,mode=0750,uid=1000 --mount=type=tmpfs,target=/t,size=1m echo ${n} >>/c/log && cp /c/log /log && stat -c "%a %u" /c >>/log && ! dd if=/dev/zero of=/t/big bs=1k count=2000 2>/dev/null`
    await builder.build([line(1)])
    await builder.build([line(2)])
    expect(await fileOf('log')).toBe('1\n2\n750 1000\n')
    const tree = await builder.tree('cache')
    expect([tree.has('c'), tree.has('t')]).toEqual([false, false])
  })

  it('give secrets to nobody but the command', async () => {
    await writeFile(at('secret'), 'open-sesame-4711\n')
    const flags = ['--secret', `id=word,src=${at('secret')}`, '--secret', 'id=var,env=WORD']
    const place = { ...builder.place, env: { WORD: 'abracadabra-99' } }
    const lines = [
      'RUN --mount=type=secret,id=word,required --mount=type=secret,id=var,env=MAGIC cat /run/secrets/word; echo "$MAGIC"; wc -c </run/secrets/word >/size; stat -c %a /run/secrets/word >>/size',
    ]
    const { code, stdout, stderr } = await cloudimg(
      [...(await builder.args(lines, flags)), '--progress', 'plain'],
      place,
    )
    expect([code, stderr]).toEqual([0, expect.stringContaining('[redacted]')])
    expect(await fileOf('size')).toBe('17\n400\n')
    for (const secret of ['open-sesame-4711', 'abracadabra-99']) {
      expect(stdout + stderr).not.toContain(secret)
      expect((await attempt(['grep', '-rla', secret, storeOf(builder.place)])).stdout).toBe('')
    }
    expect(await runLeftovers(builder.place)).toEqual([])
  })

  it.each([
    [
      'a required secret that is missing',
      'RUN --mount=type=secret,id=none,required true',
      [],
      /no such secret was given/,
    ],
    ['a source that is missing', 'RUN --mount=target=/x,source=nothing true', [], /it is not there/],
    ['an unknown type', 'RUN --mount=type=cach,target=/x true', [], /did you mean type=cache/],
    ['an unknown option', 'RUN --mount=type=tmpfs,target=/x,sice=1m true', [], /did you mean size/],
    ['a mount without a target', 'RUN --mount=type=cache true', [], /has no target/],
  ])('refuse %s', async (_, line, flags, message) => {
    const { code, message: said, hint = '', stderr } = await builder.failure([line], flags)
    expect(code).toBe('KUBEFILE_INVALID')
    expect(`${said} ${hint} ${stderr}`).toMatch(message)
  })

  it('stop a secret on its way into a layer', async () => {
    await writeFile(at('secret'), 'open-sesame-4711\n')
    const lines = ['RUN --mount=type=secret,id=word cp /run/secrets/word /copied']
    const { code, message } = await builder.failure(lines, ['--secret', `id=word,src=${at('secret')}`])
    expect([code, message]).toEqual(['RUN_FAILED', expect.stringContaining('wrote the secret "word" into it')])
    expect((await attempt(['grep', '-rla', 'open-sesame-4711', storeOf(builder.place)])).stdout).toBe('')
  })
})

describe('results are known by what they depend on', () => {
  it('runs nothing where nothing changed, and again where something did', async () => {
    const lines = (text: string): string[] => [
      'ARG X',
      `RUN cat /proc/sys/kernel/random/uuid >/u && echo ${text} $X >/t`,
    ]
    const first = await builder.build(lines('one'))
    expect((await builder.build(lines('one'))).index).toBe(first.index)
    expect((await builder.build(lines('two'))).index).not.toBe(first.index)
    expect((await builder.build(lines('one'), ['--build-arg', 'X=1'])).index).not.toBe(first.index)
  })
})

describe('what goes wrong', () => {
  it('says which command failed, with what it said, and keeps nothing', async () => {
    const { code, exit, message } = await builder.failure(['RUN echo before >/x; echo because >&2; exit 3'])
    expect([code, exit]).toEqual(['RUN_FAILED', expect.any(Number)])
    expect(message).toMatch(/exit code 3: because$/)
    expect(await runLeftovers(builder.place)).toEqual([])
  })

  it('says that there is no network', async () => {
    const { code, hint } = await builder.failure(['RUN wget -O /x http://example.invalid/x'])
    expect([code, hint]).toEqual(['RUN_FAILED', expect.stringContaining('--network=default')])
  })

  it('has no network but its own loopback, unless told', async () => {
    await builder.build(['RUN ls /sys/class/net >/net'])
    expect(await fileOf('net')).toBe('lo\n')
  })

  it('says that the disk is full', async () => {
    await attempt(['mkdir', '-p', at('small')])
    await attempt(['mount', '-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', at('small')])
    const small = new RunBuilder({ home: at('small') })
    await cloudimgJson(['build', at('base'), '-t', 'base'], small.place)
    const { code } = await small.failure(['RUN dd if=/dev/urandom of=/big bs=64k'])
    expect(code).toBe('DISK_FULL')
    expect(await runLeftovers(small.place)).toEqual([])
  })

  it('refuses names that a layer cannot have', async () => {
    const { message } = await builder.failure(['RUN : >/.wh.x'])
    expect(message).toContain('mean deletion')
  })
})

async function fileOf(path: string): Promise<string> {
  const directory = at(`file-${Math.random().toString(36).slice(2)}`)
  await cloudimgJson(['unpack', 'out', directory], builder.place)
  return await readFile(join(directory, path), 'utf8')
}

function byPath(a: string, b: string): number {
  const path = (line: string): string => (line.split(' ')[2] ?? '').replace('.wh.', '')
  return path(a) < path(b) ? -1 : 1
}
