import { describe, expect, it } from 'vitest'
import { type PlatformProof, proveBundle } from '../../../src/prove/prove-bundle.ts'
import type { Bundle } from '../../../src/prove/bundle.ts'
import type { RenderChart } from '../../../src/workload/render-chart.ts'
import { program, sampleBundle, type SampleBundleOptions } from '../../support/sample-bundle.ts'
import { testContext } from '../../support/test-context.ts'

const noHelm: RenderChart = () => Promise.resolve(undefined)

function prove(options: SampleBundleOptions | Bundle, render = noHelm): Promise<PlatformProof> {
  const bundle = 'entries' in options ? options : sampleBundle(options)
  return proveBundle(bundle, render, testContext())
}

/** `kind what < place` of each gap, by its first asker. */
async function gapsOf(files: SampleBundleOptions['files'], render = noHelm): Promise<readonly string[]> {
  const { gaps } = await prove({ files: files ?? {} }, render)
  return gaps.map(({ kind, what, askedBy: [place] }) =>
    `${kind} ${what} < ${place!.file}:${place!.line} ${place!.field}`.trim(),
  )
}

const container = (...lines: readonly string[]): string =>
  [
    'kind: Deployment',
    'spec: { template: { spec: {',
    '  containers: [',
    ...lines.map(line => `  ${line}`),
    '  ] } } }',
    '',
  ].join('\n')

describe('container images', () => {
  it('are asked for by full name, tag or digest', async () => {
    const digest = `sha256:${'0'.repeat(64)}`
    expect(
      await gapsOf({ 'manifests/a.yaml': container('{image: "nginx:1.28"},', `{image: "nginx@${digest}"}`) }),
    ).toEqual([
      'image docker.io/library/nginx:1.28 < manifests/a.yaml:4 spec.template.spec.containers[0].image',
      `image docker.io/library/nginx@${digest} < manifests/a.yaml:5 spec.template.spec.containers[1].image`,
    ])
  })

  it('are said to be there under another name', async () => {
    const { gaps } = await prove({ files: { 'manifests/a.yaml': container('{image: "nginx:1.28"}') } })
    expect(gaps[0]!.why).toContain('there is docker.io/library/nginx:1.27')
  })

  it('may be what the runtime brings', async () => {
    expect(await gapsOf({ 'manifests/a.yaml': container('{image: "rancher/mirrored-pause:3.6"}') })).toEqual([])
  })

  it('of a line that nothing was collected for are missing', async () => {
    expect(await gapsOf({ 'manifests/imageList': 'registry.local/redis:7\ndocker-archive:app.tar\n' })).toEqual([
      'image docker-archive:app.tar < manifests/imageList:2',
    ])
  })

  it('are named by scripts too', async () => {
    expect(await gapsOf({ 'scripts/x.sh': '\nkubectl run a --image=busybox:1\n' })).toEqual([
      'image docker.io/library/busybox:1 < scripts/x.sh:2',
    ])
  })
})

describe('pull policies', () => {
  it.each<[what: string, yaml: string, ...gaps: string[]]>([
    [
      'Always',
      container('{image: "nginx:1.27", imagePullPolicy: Always}'),
      'pull-policy nginx:1.27 (manifests/a.yaml) < manifests/a.yaml:4 spec.template.spec.containers[0].imagePullPolicy',
    ],
    ['IfNotPresent', container('{image: "nginx:1.27", imagePullPolicy: IfNotPresent}')],
    [
      'Always in a custom resource',
      'apiVersion: a.example/v1\nkind: Web\nspec: {image: {repository: nginx, tag: "1.27", pullPolicy: Always}}\n',
      'pull-policy nginx:1.27 (manifests/a.yaml) < manifests/a.yaml:3 spec.image.pullPolicy',
    ],
    [
      'Always in the values of a HelmChart',
      'apiVersion: helm.cattle.io/v1\nkind: HelmChart\nspec:\n  valuesContent: |\n    image:\n      pullPolicy: Always\n',
      'pull-policy spec.valuesContent > image.pullPolicy (manifests/a.yaml) < manifests/a.yaml:6 spec.valuesContent > image.pullPolicy',
    ],
    ['a label of that name', 'kind: Pod\nmetadata: {labels: {imagePullPolicy: Always}}\nspec: {}\n'],
  ])('%s', async (_, yaml, ...gaps) => {
    expect(await gapsOf({ 'manifests/a.yaml': yaml })).toEqual(gaps)
  })

  it.each([
    ['of a container', container('{image: "nginx:latest"}'), 1],
    ['meant by no tag', container('{image: nginx}'), 1],
    ['with a policy', container('{image: "nginx:latest", imagePullPolicy: Never}'), 0],
    [
      'in an argument',
      container('{image: "nginx:1.27", imagePullPolicy: Never, args: ["--sidecar-image=nginx:latest"]}'),
      1,
    ],
    ['in a custom resource', 'apiVersion: a.example/v1\nkind: Web\nspec: {image: "nginx:latest"}\n', 1],
    [
      'in one with a policy',
      'apiVersion: a.example/v1\nkind: Web\nspec: {image: "nginx:latest", imagePullPolicy: Never}\n',
      0,
    ],
    [
      'in one with a policy in the map',
      'apiVersion: a.example/v1\nkind: Web\nspec: {image: {repository: nginx, tag: latest, pullPolicy: Never}}\n',
      0,
    ],
  ])(':latest %s', async (_, yaml, count) => {
    const { gaps } = await prove({ files: { 'manifests/a.yaml': yaml } })
    const found = gaps.filter(({ kind }) => kind === 'pull-policy')
    expect(found).toHaveLength(count)
    if (count === 1) expect(found[0]).toMatchObject({ what: 'docker.io/library/nginx:latest (manifests/a.yaml)' })
  })

  it('of what helm makes of a chart count, not its values', async () => {
    const files = {
      'charts/web/Chart.yaml': 'name: web\nversion: 1.0.0\n',
      'charts/web/values.yaml': 'image: {repository: nginx, tag: "1.27", pullPolicy: Always}\n',
      'charts/web/templates/a.yaml': 'kind: {{ .Values.kind }}\n',
    }
    expect(await gapsOf(files)).toEqual([
      'pull-policy nginx:1.27 (charts/web/values.yaml) < charts/web/values.yaml:1 image.pullPolicy',
    ])
    const made =
      '---\n# Source: web/templates/a.yaml\nkind: Pod\nspec: {containers: [{image: "nginx:1.27"}, {image: "nginx:1.27", imagePullPolicy: Always}]}\n'
    expect(await gapsOf(files, () => Promise.resolve(made))).toEqual([
      'pull-policy nginx:1.27 (charts/web/templates/a.yaml) < charts/web/templates/a.yaml:1 spec.containers[1].imagePullPolicy',
    ])
  })
})

describe('ways out', () => {
  it('of scripts, with their lines', async () => {
    const script = '#!/bin/sh\n\ncurl -sfL https://get.k3s.io | sh -\nget() { wget "$1"; }\nget https://a.example/b\n'
    expect(await gapsOf({ 'scripts/x.sh': script })).toEqual([
      'network https://a.example/b < scripts/x.sh:5',
      'network https://get.k3s.io < scripts/x.sh:3',
    ])
  })

  it('of what containers start; they reach the cluster', async () => {
    const script = 'command: [sh, -c, "wget http://web.prod.svc; curl https://a.example"]'
    expect(await gapsOf({ 'manifests/a.yaml': container(`{image: "nginx:1.27", ${script}}`) })).toEqual([
      'network https://a.example < manifests/a.yaml:4 spec.template.spec.containers[0].command[2]',
    ])
  })

  it('of what LAUNCH starts', async () => {
    const launch = { applications: [], commands: ['kubectl apply -f manifests/none.yaml', 'helm repo update'] }
    const { gaps } = await prove({ metadata: { launch } })
    expect(gaps.map(({ what, askedBy }) => [what, askedBy[0]!.file, askedBy[0]!.field])).toEqual([
      ['manifests/none.yaml', 'Kubefile', 'CMDS'],
      ['helm repo update', 'Kubefile', 'CMDS'],
    ])
  })

  it('of upstream’s installer are shut where it is as locked and told not to fetch', async () => {
    const own = '#!/bin/sh\nsh "$ROOTFS/scripts/k3s-install.sh"\n'
    expect(await gapsOf({ 'scripts/x.sh': own })).toEqual([
      'network scripts/k3s-install.sh without INSTALL_K3S_SKIP_DOWNLOAD=true < scripts/x.sh:2',
      'network scripts/k3s-install.sh without INSTALL_K3S_SKIP_SELINUX_RPM=true < scripts/x.sh:2',
    ])
    const told =
      '#!/bin/sh\nexport INSTALL_K3S_SKIP_DOWNLOAD=true\nINSTALL_K3S_SKIP_SELINUX_RPM=true sh "$ROOTFS/scripts/k3s-install.sh"\n'
    expect(await gapsOf({ 'scripts/x.sh': told })).toEqual([])
  })

  it('of an installer of another’s making are open', async () => {
    const { metadata } = sampleBundle()
    const artifacts = metadata.artifacts.map(artifact => ({ ...artifact, name: artifact.path }))
    const { gaps } = await prove({ metadata: { artifacts } })
    expect(gaps.map(({ what }) => what)).toEqual(['https://github.com/k3s-io/k3s/releases'])
  })

  it('of units that systemd starts', async () => {
    const unit = '[Service]\nExecStartPre=-/usr/bin/curl https://a.example\nExecStart=/bin/true\n'
    expect(await gapsOf({ 'etc/x.service': unit })).toEqual([
      'network https://a.example < etc/x.service:2 ExecStartPre',
    ])
  })

  it('that cannot be known are for a person', async () => {
    const { proven, doubts } = await prove({
      files: { 'scripts/x.sh': '#!/bin/sh\ncurl "$1"\n', 'scripts/y': '#!/usr/bin/env python3\n' },
    })
    expect(proven).toBe(true)
    expect(doubts.map(({ file, line }) => `${file}:${line}`)).toEqual(['scripts/x.sh:2', 'scripts/y:1'])
  })
})

describe('files', () => {
  it.each([
    ['. "$(dirname "$0")/lib.sh"', 'scripts/lib.sh'],
    ['source "${0%/*}/../etc/lib.sh"', 'etc/lib.sh'],
    ['cp "$ROOTFS/etc/x.conf" /etc', 'etc/x.conf'],
    ['HERE=$(cd "$(dirname "$0")" && pwd)\ncat $HERE/x.txt', 'scripts/x.txt'],
    ['cp /var/lib/cloudimg/current/cri/*.tgz /tmp', 'cri/*.tgz'],
  ])('that scripts use are needed: %s', async (line, missing) => {
    const found = await gapsOf({ 'scripts/x.sh': `#!/bin/sh\n${line}\n` })
    expect(found.map(gap => gap.split(' ')[1])).toEqual([missing])
  })

  it.each([
    '[ -f "$ROOTFS/etc/x" ] && cat "$ROOTFS/etc/x"',
    'echo a >"$ROOTFS/x"; cat "$ROOTFS/x"',
    'cp "$ROOTFS/etc/$NAME" /etc',
    'ls "$ROOTFS/scripts/"*.sh',
    'sh ./made-elsewhere.sh',
  ])('that are asked for, made, or not known are not: %s', async line => {
    expect(await gapsOf({ 'scripts/x.sh': `#!/bin/sh\n${line}\n` })).toEqual([])
  })

  it('of applications are needed, and LAUNCH names known ones', async () => {
    const applications = [{ name: 'web', type: 'kube' as const, files: ['web.yaml'], env: {} }]
    const { gaps } = await prove({ metadata: { applications, launch: { applications: ['web', 'db'], commands: [] } } })
    expect(gaps.map(({ what }) => what)).toEqual(['application/apps/db', 'application/apps/web/web.yaml'])
  })
})

describe('machines', () => {
  it('must be the bundle’s: programs', async () => {
    const { gaps } = await prove({ files: { 'bin/tool': program(183) } })
    expect(gaps).toMatchObject([{ kind: 'architecture', what: 'bin/tool' }])
    expect(gaps[0]!.why).toBe('the program is for arm64, the bundle for linux/amd64')
  })

  it('must be the bundle’s: images', async () => {
    const { gaps } = await prove({ platform: 'linux/arm64' })
    const wrong = gaps.filter(({ kind }) => kind === 'architecture').map(({ what }) => what)
    expect(wrong).toEqual(
      expect.arrayContaining(['bin/k3s', 'bin/tool', 'docker.io/library/nginx:1.27', 'registry.local/redis:7']),
    )
    // No archive for such machines is there.
    expect(gaps.filter(({ kind }) => kind === 'image').map(({ what }) => what)).toContain(
      'docker.io/rancher/mirrored-pause:3.6',
    )
  })
})

describe('what cannot be read', () => {
  it('is missing as long as it may ask for anything', async () => {
    expect(await gapsOf({ 'manifests/a.yaml': 'kind: Pod\nspec: {{ .x }}\n' })).toEqual([
      'unreadable manifests/a.yaml:2 < manifests/a.yaml:2',
    ])
    const remote = 'apiVersion: helm.cattle.io/v1\nkind: HelmChart\nspec: {chart: grafana, repo: "https://a.example"}\n'
    expect(await gapsOf({ 'manifests/a.yaml': remote })).toEqual(['unreadable manifests/a.yaml:3 < manifests/a.yaml:3'])
  })
})
