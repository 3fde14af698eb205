import { redactUrl } from '../core/redact.ts'
import { argumentTexts, operandsOf, optionValues, type PlainCommand } from './plain-command.ts'

/** What a command would have from elsewhere. */
export type WayOut =
  | { readonly kind: 'network'; readonly what: string; readonly why: string }
  /** A container image that the cluster shall run. */
  | { readonly kind: 'image'; readonly what: string; readonly mayPull: boolean }
  /** Where it goes depends on what only the host knows. */
  | { readonly kind: 'unknown'; readonly what: string }

/** Where a command stands: a pod reaches the cluster's own services. */
export interface Surroundings {
  readonly inCluster: boolean
  /** Whether the bundle has a file or directory of that name, as the command would find it. */
  readonly has: (path: string) => boolean
}

type Judge = (command: PlainCommand, around: Surroundings) => readonly WayOut[]

const urlPattern = /^(?:https?|ftps?|git|ssh|oci|s3|gs|docker):\/\/\S+$/i

/** Whatever a command would reach that no closed host reaches. Programs that it does not know are taken to stay inside. */
export function waysOut(command: PlainCommand, around: Surroundings): readonly WayOut[] {
  return judges[command.program]?.(command, around) ?? []
}

/** Whether a program is one that fetches: what a function around it is given counts as its own. */
export function isFetcher(program: string): boolean {
  return judges[program] === judgeDownload
}

/** Texts that are URLs of elsewhere. */
export function urlsIn(texts: readonly string[], { inCluster }: Pick<Surroundings, 'inCluster'>): readonly string[] {
  return texts.filter(text => urlPattern.test(text) && !isInside(text, inCluster))
}

function isInside(url: string, inCluster: boolean): boolean {
  const host = /^[a-z]+[^:]*:\/\/(?:[^@/]*@)?(\[[^\]]*\]|[^:/?#]*)/i.exec(url)?.[1]?.toLowerCase() ?? ''
  if (/^(?:localhost|.*\.localhost|127\.[\d.]+|\[::1\]|0\.0\.0\.0|)$/.test(host)) return true
  if (!inCluster) return false
  return host.includes('$') || !host.includes('.') || /\.svc$|\.svc\.|\.cluster\.local$/.test(host)
}

const network = (what: string, why: string): WayOut => ({ kind: 'network', what: withoutSecrets(what), why })

/** Scripts have passwords in their URLs; a report has not. */
function withoutSecrets(text: string): string {
  return text.replaceAll(/\b[a-z]+:\/\/\S+/gi, url => (/:\/\/[^/]*@|\?/.test(url) ? redactUrl(url) : url))
}

const downloadValues =
  /^(?:-[oHdXuAeTFbcmxwKYyzCDErtPUiB]|--(?:output|header|data\S*|request|user(?:-agent)?|proxy|max-time|connect-timeout|retry\S*|cacert|cert|key|output-document|directory-prefix|timeout|tries|form|cookie|write-out|output-dir))$/

function judgeDownload(command: PlainCommand, around: Surroundings): readonly WayOut[] {
  const texts = argumentTexts(command).map(text => text.replace(/^--url=/, ''))
  const urls = texts.filter(text => urlPattern.test(text))
  if (urls.length > 0) return urlsIn(urls, around).map(url => network(url, `${command.program} would fetch it`))
  return operandsOf(command, downloadValues).flatMap((word): readonly WayOut[] => {
    const hosts = word.texts.filter(text => /^[\w-]+(?:\.[\w-]+)+(?::\d+)?(?:\/\S*)?$/.test(text))
    const outside = hosts.filter(host => !isInside(`http://${host}`, around.inCluster))
    if (outside.length > 0) return outside.map(host => network(host, `${command.program} would fetch it`))
    return word.isKnown ? [] : [{ kind: 'unknown', what: withoutSecrets(`${command.program} ${word.texts[0]}`) }]
  })
}

/** A package manager: these subcommands ask its repositories, unless all they are given are files. */
function packageManager(subcommands: RegExp, files: RegExp, offline: RegExp): Judge {
  return command => {
    const operands = operandsOf(command)
    const texts = operands.flatMap(word => word.texts)
    const options = argumentTexts(command)
    const verb = texts.find(text => subcommands.test(text)) ?? options.find(text => subcommands.test(text))
    if (verb === undefined || options.some(text => offline.test(text))) return []
    const given = texts.slice(texts.indexOf(verb) + 1)
    if (given.length > 0 && given.every(text => files.test(text))) return []
    const what = [command.program, verb, ...given].join(' ')
    return [network(what, 'it would ask package repositories')]
  }
}

const never = /(?!)/
const localFile = /^(?:\.{0,2}\/|\$ROOTFS\/|\uE000)|\.(?:deb|rpm|apk|whl|tgz|gem)$/

function judgeGit(command: PlainCommand, around: Surroundings): readonly WayOut[] {
  const [verb, second] = operandsOf(command, /^-[Cc]$/).map(({ texts }) => texts[0]!)
  const isRemote =
    /^(?:clone|fetch|pull|ls-remote|push)$/.test(verb ?? '') ||
    (verb === 'submodule' && second === 'update') ||
    (verb === 'remote' && second === 'update')
  if (!isRemote) return []
  const texts = argumentTexts(command)
  const urls = texts.filter(text => urlPattern.test(text) || /^[\w.-]+@[\w.-]+:\S+$/.test(text))
  if (urls.length > 0)
    return urls
      .filter(url => !urlPattern.test(url) || !isInside(url, around.inCluster))
      .map(url => network(url, `git ${verb} would fetch it`))
  if (verb === 'clone' && /^(?:\.{0,2}\/|file:|\$ROOTFS|\uE000)/.test(second ?? '')) return []
  return [network(`git ${[verb, second].filter(text => text !== undefined).join(' ')}`, 'it would ask a remote')]
}

const helmValues =
  /^(?:-[fn]|--(?:values|set|set-string|set-file|set-json|namespace|version|timeout|kubeconfig|kube-context|repo|username|password|ca-file|cert-file|key-file|description|output|history-max))$/

function judgeHelm(command: PlainCommand, around: Surroundings): readonly WayOut[] {
  const [verb = '', second = '', third] = operandsOf(command, helmValues).map(({ texts }) => texts[0]!)
  const urls = urlsIn(
    [...argumentTexts(command), ...optionValues(command, ['--repo']).flatMap(({ texts }) => texts)],
    around,
  )
  if (urls.length > 0) return [...new Set(urls)].map(url => network(url, `helm ${verb} would fetch it`))
  const name = `helm ${[verb, second, third].filter(text => text !== undefined && text !== '').join(' ')}`
  if (/^(?:pull|fetch|search)$/.test(verb) || (verb === 'repo' && /^(?:add|update|up)$/.test(second)))
    return [network(name, 'it would ask a chart repository')]
  if (/^dep(?:endency)?$/.test(verb) && /^(?:update|up|build)$/.test(second))
    return [network(name, 'it would ask a chart repository')]
  if (!/^(?:install|upgrade|template|show)$/.test(verb)) return []
  const chart = third ?? second
  const isNamed = /^(?!charts\/)[a-z0-9][\w-]*\/[\w.-]+$/i.test(chart) && !chart.endsWith('.tgz') && !around.has(chart)
  return isNamed ? [network(chart, `helm ${verb} would ask the chart repository "${chart.split('/')[0]}"`)] : []
}

function judgeKubectl(command: PlainCommand, around: Surroundings): readonly WayOut[] {
  const files = optionValues(command, ['-f', '--filename', '-k', '--kustomize']).flatMap(({ texts }) => texts)
  const urls = urlsIn([...files, ...argumentTexts(command)], around)
  const found: WayOut[] = [...new Set(urls)].map(url => network(url, 'kubectl would fetch it'))
  const [verb, second] = operandsOf(command, /^(?:-[nf]|--(?:namespace|kubeconfig|context))$/).map(
    ({ texts }) => texts[0]!,
  )
  const policy = optionValues(command, ['--image-pull-policy']).flatMap(({ texts }) => texts)[0]
  const mayPull = policy === 'Always' || policy === undefined
  if (/^(?:run|create|debug)$/.test(verb ?? ''))
    for (const { texts, isKnown } of optionValues(command, ['--image']))
      for (const what of texts)
        found.push(
          isKnown ? { kind: 'image', what, mayPull: mayPull && !isFixed(what, policy) } : { kind: 'unknown', what },
        )
  if (verb === 'set' && second === 'image')
    for (const text of argumentTexts(command)) {
      const [, what] = /^[\w*.-]+=(\S+)$/.exec(text) ?? []
      if (what !== undefined && !text.startsWith('-')) found.push({ kind: 'image', what, mayPull: false })
    }
  return found
}

/** Without a policy only `:latest`, written or meant, is asked for each time. */
function isFixed(image: string, policy: string | undefined): boolean {
  if (policy !== undefined) return policy !== 'Always'
  return image.includes('@') || /:(?!latest$)[^:/]+$/.test(image)
}

const engineValues =
  /^(?:-[nvepuwHa]|--(?:namespace|name|volume|env|publish|user|workdir|network|address|host|entrypoint|platform|mount|creds|config|log-level|username|password|runtime-endpoint|image-endpoint))$/

function judgeEngine(command: PlainCommand, around: Surroundings): readonly WayOut[] {
  const texts = argumentTexts(command)
  const transports = texts.filter(text => text.startsWith('docker://'))
  if (transports.length > 0)
    return urlsIn(transports, around).map(what => network(what, `${command.program} would ask a registry`))
  const operands = operandsOf(command, engineValues).map(({ texts: [text = ''] }) => text)
  const rest = /^(?:images?|i|compose)$/.test(operands[0] ?? '') ? operands.slice(1) : operands
  const [verb = '', ...names] = rest
  if (verb === 'pull' || verb === 'login' || verb === 'search') {
    const what = [command.program, ...operands].join(' ')
    return [network(what, 'it would ask a registry')]
  }
  const starts = /^(?:run|create)$/.test(verb) && command.program !== 'crictl' && names[0] !== undefined
  return starts && operands[0] !== 'compose' ? [{ kind: 'image', what: names[0]!, mayPull: false }] : []
}

/** Any URL among the arguments. */
function anyUrl(command: PlainCommand, around: Surroundings): readonly WayOut[] {
  return urlsIn(argumentTexts(command), around).map(url => network(url, `${command.program} would fetch it`))
}

function judgeK3s(command: PlainCommand, around: Surroundings): readonly WayOut[] {
  const program = command.words[1]?.texts[0] ?? ''
  if (!/^(?:kubectl|crictl|ctr)$/.test(program)) return []
  return waysOut({ ...command, program, words: command.words.slice(1) }, around)
}

const download = ['curl', 'wget', 'aria2c', 'axel', 'http', 'https']
const engines = ['docker', 'podman', 'nerdctl', 'crictl', 'ctr', 'buildah', 'skopeo', 'docker-compose']
const apt = packageManager(
  /^(?:install|update|upgrade|dist-upgrade|full-upgrade|download|source|build-dep|reinstall)$/,
  localFile,
  /^--no-download$/,
)
const rpms = packageManager(
  /^(?:install|localinstall|reinstall|update|upgrade|groupinstall|makecache|download|in|up|ref|refresh|dup|check-update)$/,
  localFile,
  /^(?:-C|--cacheonly|--disablerepo=\*)$/,
)
const pip = packageManager(/^(?:install|download|wheel)$/, localFile, /^--no-index$/)
const javascript = packageManager(/^(?:install|i|ci|add|update)$/, localFile, /^--offline$/)

const judges: Readonly<Record<string, Judge>> = {
  ...Object.fromEntries(download.map(program => [program, judgeDownload])),
  ...Object.fromEntries(engines.map(program => [program, judgeEngine])),
  ...Object.fromEntries(['apt', 'apt-get', 'aptitude'].map(program => [program, apt])),
  ...Object.fromEntries(['yum', 'dnf', 'microdnf', 'tdnf', 'zypper'].map(program => [program, rpms])),
  ...Object.fromEntries(['pip', 'pip3', 'pipx'].map(program => [program, pip])),
  ...Object.fromEntries(['npm', 'yarn', 'pnpm'].map(program => [program, javascript])),
  ...Object.fromEntries(
    ['rpm', 'kustomize', 'ansible-galaxy', 'terraform', 'svn', 'hg'].map(program => [program, anyUrl]),
  ),
  apk: packageManager(/^(?:add|update|upgrade|fetch)$/, localFile, /^--no-network$/),
  pacman: packageManager(/^-S\w*$/, localFile, never),
  snap: packageManager(/^(?:install|refresh|download)$/, localFile, never),
  brew: packageManager(/^(?:install|update|upgrade)$/, never, never),
  gem: packageManager(/^(?:install|update)$/, localFile, /^--local$/),
  go: packageManager(/^(?:get|install|mod)$/, localFile, never),
  cargo: packageManager(/^(?:install|fetch|update)$/, localFile, /^--offline$/),
  'add-apt-repository': command => [
    network([command.program, ...argumentTexts(command)].join(' '), 'it would ask package repositories'),
  ],
  git: judgeGit,
  helm: judgeHelm,
  kubectl: judgeKubectl,
  oc: judgeKubectl,
  k3s: judgeK3s,
}
