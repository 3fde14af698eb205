import { describe, expect, it } from 'vitest'
import { parsePlatform } from '../../../src/core/platform.ts'
import { parseKubefile } from '../../../src/kubefile/parse.ts'
import {
  type Scope,
  globalScope,
  isProxyArg,
  predefinedArgs,
  runEnvironment,
  stageScope,
  unusedBuildArgs,
} from '../../../src/kubefile/scope.ts'

const request = (buildArgs: Readonly<Record<string, string>> = {}, platform = 'linux/arm/v7') => ({
  platform: parsePlatform(platform),
  buildPlatform: parsePlatform('linux/amd64'),
  buildArgs,
})
const stage = (buildArgs: Readonly<Record<string, string>> = {}, globals: (scope: Scope) => Scope = scope => scope) =>
  stageScope(globals(globalScope(request(buildArgs))))

describe('predefined names', () => {
  it('describe both platforms', () => {
    expect(Object.fromEntries(predefinedArgs(request()))).toEqual({
      TARGETPLATFORM: 'linux/arm/v7',
      TARGETOS: 'linux',
      TARGETARCH: 'arm',
      TARGETVARIANT: 'v7',
      BUILDPLATFORM: 'linux/amd64',
      BUILDOS: 'linux',
      BUILDARCH: 'amd64',
      BUILDVARIANT: '',
      ARCH: 'arm',
    })
  })

  it('expand before FROM and in every stage, without ARG', () => {
    expect(globalScope(request()).lookup('BUILDPLATFORM')).toBe('linux/amd64')
    expect(stage().lookup('ARCH')).toBe('arm')
  })

  it('are not in the environment of RUN until an ARG takes them', () => {
    expect(runEnvironment(stage())).toEqual({})
    expect(runEnvironment(stage().withArg('TARGETARCH', undefined))).toEqual({ TARGETARCH: 'arm' })
  })

  it('give way to ARG and ENV of that name', () => {
    expect(stage().withArg('ARCH', 'mine').lookup('ARCH')).toBe('mine')
    expect(stage().withEnv('TARGETARCH', 'mine').lookup('TARGETARCH')).toBe('mine')
  })
})

describe('ARG', () => {
  it.each<readonly [what: string, scope: Scope, value: string | undefined]>([
    ['has its default', stage().withArg('A', 'default'), 'default'],
    ['has what --build-arg says', stage({ A: 'given' }).withArg('A', 'default'), 'given'],
    ['may be given empty', stage({ A: '' }).withArg('A', 'default'), ''],
    ['is unset without any value', stage().withArg('A', undefined), undefined],
    ['is not known where nobody declares it', stage({ A: 'given' }), undefined],
    ['before FROM is not known in a stage', stage({}, scope => scope.withArg('A', 'global')), undefined],
    [
      'without value takes the one before FROM',
      stage({}, scope => scope.withArg('A', 'global')).withArg('A', undefined),
      'global',
    ],
    [
      'before FROM takes --build-arg too',
      stage({ A: 'given' }, scope => scope.withArg('A', 'global')).withArg('A', undefined),
      'given',
    ],
    [
      'with a value does not take the one before FROM',
      stage({}, scope => scope.withArg('A', 'global')).withArg('A', 'own'),
      'own',
    ],
    ['declared again without value keeps its value', stage().withArg('A', 'one').withArg('A', undefined), 'one'],
    ['declared again has the later value', stage().withArg('A', 'one').withArg('A', 'two'), 'two'],
    ['loses to ENV', stage().withEnv('A', 'env').withArg('A', 'arg'), 'env'],
    ['loses to ENV that comes later', stage().withArg('A', 'arg').withEnv('A', 'env'), 'env'],
  ])('%s', (_, scope, value) => {
    expect(scope.lookup('A')).toBe(value)
  })

  it('named like a property of every object is unset', () => {
    expect(stage().withArg('constructor', undefined).lookup('constructor')).toBeUndefined()
  })

  it('leaves the scope before it as it was', () => {
    const before = stage()
    before.withArg('A', 'x').withEnv('B', 'y')
    expect([before.lookup('A'), before.lookup('B')]).toEqual([undefined, undefined])
  })
})

describe('runEnvironment', () => {
  it('has ARGs, the proxies that were passed, and ENV above both', () => {
    const scope = stage({ http_proxy: 'http://proxy', A: 'a', unknown: 'x' }).withArg('A', undefined).withEnv('B', 'b')
    expect(runEnvironment(scope)).toEqual({ http_proxy: 'http://proxy', A: 'a', B: 'b' })
    expect(runEnvironment(scope.withEnv('http_proxy', 'own'))['http_proxy']).toBe('own')
  })

  it('begins with what the base brings', () => {
    expect(runEnvironment(stageScope(globalScope(request()), [['PATH', '/bin']]))).toEqual({ PATH: '/bin' })
  })

  it.each(['HTTP_PROXY', 'no_proxy', 'ALL_PROXY'])('%s is a proxy name', name => expect(isProxyArg(name)).toBe(true))
})

it('names the --build-arg that no ARG takes', () => {
  const { kubefile } = parseKubefile('ARG A\nFROM scratch\nARG B=1 C\nENV D=1\n')
  const buildArgs = { A: '', B: '', C: '', D: '', E: '', HTTPS_PROXY: '', SOURCE_DATE_EPOCH: '' }
  expect(unusedBuildArgs(kubefile!, buildArgs)).toEqual(['D', 'E'])
})
