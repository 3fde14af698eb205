import { describe, expect, it } from 'vitest'
import type { Application } from '../../../src/core/application.ts'
import { InvalidFileError } from '../../../src/core/invalid-file.ts'
import { planBuild, targetStage } from '../../../src/build/plan-build.ts'
import { resolveApplications } from '../../../src/build/resolve-applications.ts'
import { BuildTree } from '../../../src/build/tree.ts'
import { parseKubefile } from '../../../src/kubefile/parse.ts'

const amd64 = { os: 'linux', arch: 'amd64' } as const

function planOf(lines: readonly string[], inherited: readonly Application[] = []) {
  const { kubefile, diagnostics: mistakes } = parseKubefile(`${lines.join('\n')}\n`)
  if (kubefile === undefined) throw new Error(mistakes.map(({ message }) => message).join('; '))
  const applications = inherited.map(one => ({ name: one.name, sources: [], env: {}, inherited: one }))
  const bases = new Map([
    ['docker.io/library/base:1 linux/amd64', { config: { Labels: { l: '1' } }, author: undefined, applications }],
  ])
  const { plan, diagnostics } = planBuild(kubefile, { platform: amd64, buildPlatform: amd64, buildArgs: {}, bases })
  return { kubefile, plan: plan.stages.length === 0 ? undefined : targetStage(plan), diagnostics }
}

function treeOf(...paths: readonly string[]): BuildTree {
  const tree = new BuildTree()
  const common = { uid: 0, gid: 0, mode: 0o755 } as const
  for (const path of paths) {
    const parts = path.split('/')
    for (let depth = 1; depth < parts.length; depth++)
      tree.put({ type: 'directory', path: parts.slice(0, depth).join('/'), ...common })
    tree.put({ type: 'file', path, size: 0, content: { from: 'memory', bytes: Buffer.alloc(0) }, ...common })
  }
  return tree
}

function resolved(lines: readonly string[], files: readonly string[], options: { readonly cluster?: boolean } = {}) {
  const { kubefile, plan, diagnostics } = planOf(lines)
  expect(diagnostics).toEqual([])
  return resolveApplications(plan!, treeOf(...files), options.cluster ?? true, kubefile)
}

describe('APP, CNI and CSI', () => {
  it('copy what their sources name below application/apps, whatever the WORKDIR', () => {
    const lines = ['ARG V=1', 'WORKDIR /w', 'APP web local://web-$V.yaml https://example.com/a%20b.yaml?x']
    const steps = planOf(lines).plan!.steps
    expect(steps.at(-1)).toMatchObject({
      kind: 'copy',
      target: '/application/apps/web/',
      sources: [
        { kind: 'path', path: 'web-1.yaml' },
        { kind: 'url', url: 'https://example.com/a%20b.yaml?x' },
      ],
      createdBy: lines[2],
    })
    expect(planOf(lines).plan!.applications[0]?.sources).toEqual(['web-1.yaml', 'a b.yaml'])
  })

  it('label the image where they are the network or the storage', () => {
    const { plan } = planOf(['CNI calico local://a.yaml', 'CSI nfs local://b.yaml', 'APP web local://c.yaml'])
    expect(plan!.config.Labels).toEqual({
      'cluster.alpha.sealer.io/kube-cni-calico': 'true',
      'cluster.alpha.sealer.io/kube-csi-nfs': 'true',
    })
  })

  it.each<[what: string, files: readonly string[], type: Application['type'], order?: readonly string[]]>([
    ['manifests', ['b.yaml', 'a.yml'], 'kube'],
    ['scripts in the order of the sources', ['b.sh', 'a.sh'], 'shell', ['b.sh', 'a.sh']],
    ['a chart', ['values.yaml', 'Chart.yaml', 'templates/web.yaml'], 'helm'],
    ['anything else', ['web.tgz', 'a.yaml'], undefined],
  ])('are told apart by their files: %s', (_, files, type, order) => {
    const sources = files.map(file => `local://x/${file}`).join(' ')
    const paths = files.map(file => `application/apps/web/${file}`)
    const [application] = resolved([`APP web ${sources}`], paths).applications
    expect(application?.type).toBe(type)
    expect([...(application?.files ?? [])].sort()).toEqual([...files].sort())
    expect(application?.files).toEqual(order ?? application?.files)
  })

  it.each<[lines: readonly string[], message: string]>([
    [['APP ../x local://a'], '"../x" is no name for an application'],
    [['APP a local://a', 'CNI a local://b'], 'application "a" is declared twice'],
    [['ARG S=x', 'APP a $S'], '"x" is no source'],
    [['APP a https://'], '"https://" is no source'],
    [['APPENV web a=1'], 'no APP, CNI or CSI is called "web"'],
    [['APPCMDS web ["x"]'], 'no APP, CNI or CSI is called "web"'],
    [['APP web local://a', 'LAUNCH wbe'], 'no APP, CNI or CSI is called "wbe"'],
  ])('%j is refused', (lines, message) => {
    const { diagnostics } = planOf(lines)
    expect(diagnostics.map(found => [found.message, found.span.start.line])).toEqual([[message, lines.length]])
  })
})

describe('APPENV and APPCMDS', () => {
  it('may stand before their APP; later variables win', () => {
    const lines = ['APPENV web A=1 B="x y"', 'APPCMDS web ["make", "$A"]', 'APP web local://m', 'APPENV web A=2']
    expect(resolved(lines, ['application/apps/web/m']).applications).toEqual([
      { name: 'web', files: ['m'], env: { A: '2', B: 'x y' }, command: ['make', '$A'] },
    ])
  })
})

describe('what starts', () => {
  const app = ['APP web local://web.yaml']
  const file = ['application/apps/web/web.yaml']

  it('is what LAUNCH names', () => {
    expect(resolved([...app, 'LAUNCH web'], file).launch).toEqual({ applications: ['web'], commands: [] })
  })

  it('is what CMDS lists', () => {
    expect(resolved(['CMDS ["a $X", "b"]'], []).launch).toEqual({ applications: [], commands: ['a $X', 'b'] })
  })

  it.each([
    ['CMD kubectl get nodes | wc -l', 'kubectl get nodes | wc -l'],
    ['CMD ["echo", "it\'s", "a b", "/c"]', `echo 'it'\\''s' 'a b' /c`],
  ])('is what %s says, in a cluster image', (line, command) => {
    expect(resolved([line], []).launch).toEqual({ applications: [], commands: [command] })
    expect(resolved([line], [], { cluster: false }).launch).toBeUndefined()
  })

  it('must be of a known type, or have APPCMDS', () => {
    const lines = ['APP web local://web.tgz']
    const files = ['application/apps/web/web.tgz']
    expect(() => resolved([...lines, 'LAUNCH web'], files)).toThrow(
      'how "web" starts is not to be told from its files: web.tgz',
    )
    expect(resolved([...lines, 'APPCMDS web ["x"]', 'LAUNCH web'], files).launch?.applications).toEqual(['web'])
  })

  it('is one CMD in a cluster image, shown where the second stands', () => {
    const lines = ['FROM scratch', 'CMD a', 'CMD b']
    expect(resolved(lines, [], { cluster: false }).launch).toBeUndefined()
    const thrown = (() => {
      try {
        return resolved(lines, [])
      } catch (error) {
        return error
      }
    })()
    expect(thrown).toBeInstanceOf(InvalidFileError)
    const [first] = (thrown as InvalidFileError).diagnostics
    expect(first).toMatchObject({ message: 'a cluster image has one CMD', span: { start: { line: 3, column: 1 } } })
    expect(first?.hint).toContain('CMDS')
  })
})

describe('applications of a base image', () => {
  const base: readonly Application[] = [{ name: 'db', type: 'helm', files: ['Chart.yaml'], env: { A: '1' } }]

  it('are inherited with their variables; what it starts is not', () => {
    const { kubefile, plan } = planOf(['FROM base:1', 'APPENV db B=2', 'LAUNCH db'], base)
    expect(resolveApplications(plan!, treeOf(), true, kubefile)).toEqual({
      applications: [{ ...base[0], env: { A: '1', B: '2' } }],
      launch: { applications: ['db'], commands: [] },
    })
    const without = planOf(['FROM base:1'], base)
    expect(resolveApplications(without.plan!, treeOf(), true, kubefile).launch).toBeUndefined()
  })

  it('keep their names', () => {
    const { diagnostics } = planOf(['FROM base:1', 'APP db local://x.sh'], base)
    expect(diagnostics.map(({ message }) => message)).toEqual(['application "db" comes with the base image'])
  })

  it('may be started otherwise', () => {
    const { kubefile, plan } = planOf(['FROM base:1', 'APPCMDS db ["x"]'], base)
    expect(resolveApplications(plan!, treeOf(), true, kubefile).applications).toEqual([{ ...base[0], command: ['x'] }])
  })

  it('pass from stage to stage, labels too', () => {
    const { plan } = planOf(['FROM base:1 AS a', 'KUBEVERSION ">=1.25 <1.32"', 'CNI c local://c.yaml', 'FROM a'], base)
    expect(plan!.applications.map(({ name }) => name)).toEqual(['db', 'c'])
    expect(plan!.config.Labels).toEqual({
      l: '1',
      'app.alpha.sealer.io/supported-kube-version': '>=1.25 <1.32',
      'cluster.alpha.sealer.io/kube-cni-c': 'true',
    })
  })
})
