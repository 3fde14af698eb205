import { type Findings, placeOf } from './findings.ts'
import { isComplete, isImageLike, isImagesLike, isReference, readName } from './image-name.ts'
import { get, getList, getText, lineOf, type MapValue, type TextValue, type Value } from './value.ts'

const containerLists = ['containers', 'initContainers', 'ephemeralContainers'] as const

export function isContainerList(key: string): boolean {
  return (containerLists as readonly string[]).includes(key)
}

export function isArgsList(key: string): boolean {
  return key === 'args' || key === 'command' || key.endsWith('Args')
}

export function isEnvList(key: string): boolean {
  return key === 'env' || /(?:Env|EnvVars)$/.test(key)
}

/** A pod's spec in one of Kubernetes' own kinds. */
export function judgePodSpec(spec: MapValue, found: Findings): void {
  for (const key of containerLists) {
    for (const container of getList(spec, key)) {
      if (container.kind !== 'map') continue
      judgeKubeletImage(getText(container, 'image'), 'own', found)
      for (const list of ['command', 'args']) judgeArgs(getList(container, list), found)
      judgeEnv(get(container, 'env'), found)
    }
  }
  judgeImageVolumes(getList(spec, 'volumes'), 'own', found)
}

export function judgeImageVolumes(volumes: readonly Value[], kind: 'own' | 'custom', found: Findings): void {
  for (const volume of volumes) {
    const image = volume.kind === 'map' ? get(volume, 'image') : undefined
    if (image?.kind === 'map') judgeKubeletImage(getText(image, 'reference'), kind, found)
  }
}

/** Kubelet takes it as it is, also without a tag. A custom kind may have a pattern there. */
export function judgeKubeletImage(image: TextValue | undefined, kind: 'own' | 'custom', found: Findings): void {
  if (image === undefined || image.text.trim() === '') return
  const { text } = image
  if (readName(text) === 'variable') return found.guess(text, 'variable', placeOf(image))
  if (isReference(text)) return found.request(text, placeOf(image))
  if (kind === 'own') found.cannotRead('bad-reference', image.file, lineOf(image))
}

/** `--flag=REF`, `--flag REF`, or a mere REF. */
export function judgeArgs(args: readonly Value[], found: Findings): void {
  for (let at = 0; at < args.length; at++) {
    const arg = args[at]!
    if (arg.kind !== 'text') continue
    if (/\s/.test(arg.text.trim())) {
      judgeScript(arg, found)
      continue
    }
    const [, flag, equals, value = ''] = /^--?([^=]+)(=)?(.*)$/s.exec(arg.text) ?? []
    if (flag === undefined) found.shaped(arg)
    else if (equals !== undefined) judgeNamed(arg, flag, value, found)
    else if (isImageLike(flag) || isImagesLike(flag)) {
      const next = args[at + 1]
      if (next?.kind !== 'text' || next.text.startsWith('-')) continue
      judgeNamed(next, flag, next.text, found)
      at++
    }
  }
}

function judgeNamed(value: TextValue, name: string, text: string, found: Findings): void {
  if (isImageLike(name)) found.named(value, text)
  else if (isImagesLike(name)) found.namedList(value, text)
  else found.shaped(value, text)
}

function judgeScript(arg: TextValue, found: Findings): void {
  for (const { 0: line, index } of arg.text.matchAll(/^(?!\s*#).*$/gm)) {
    for (const { 0: word, 1: flag = '', 2: ref = '', index: at } of line.matchAll(/(?<!\S)--?([^\s=]+)=(\S+)/g))
      if (word !== '' && isImageLike(flag) && isComplete(ref)) found.guess(ref, 'in-script', placeOf(arg, index + at))
  }
}

/** A list of `{name, value}`; in custom kinds and values also a map. */
export function judgeEnv(env: Value | undefined, found: Findings): void {
  if (env?.kind === 'map') {
    for (const [name, value] of env.entries) if (value.kind === 'text') judgeNamed(value, name, value.text, found)
  } else if (env?.kind === 'list') {
    for (const item of env.items) {
      if (item.kind !== 'map') continue
      const [name, value] = [getText(item, 'name'), getText(item, 'value')]
      if (name !== undefined && value !== undefined) judgeNamed(value, name.text, value.text, found)
    }
  }
}
