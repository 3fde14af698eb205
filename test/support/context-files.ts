import { chmodSync, linkSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/**
 * A context as lines: `a/b` is a file that holds its own path, `a/b 0755` the same with a mode, `a/b = text` one with
 * another content (`\n` stands for a line end), `a/` a directory, `a/ 0700` one with a mode, `a -> b` a symbolic link,
 * `a == b` a hard link to b. What is not said is 0644 or 0755, whatever the umask.
 */
export function writeContextFiles(root: string, lines: readonly string[]): void {
  mkdirSync(root, { recursive: true })
  const modes = new Map<string, number>([[root, 0o755]])
  const place = (path: string): string => {
    const parts = path.split('/').filter(part => part !== '')
    for (let depth = 1; depth < parts.length; depth++) {
      const parent = join(root, ...parts.slice(0, depth))
      if (!modes.has(parent)) modes.set(parent, 0o755)
    }
    mkdirSync(dirname(join(root, path)), { recursive: true })
    return join(root, path).replace(/\/$/, '')
  }
  for (const line of lines) {
    const [, head = '', sign, rest = ''] = /^(.*?)(?: (->|==|=)(?: (.*))?)?$/s.exec(line) ?? []
    const [path = '', mode] = sign === '->' || sign === '==' ? [head] : head.split(/ (?=[0-7]{4}$)/)
    const full = place(path)
    if (sign === '->') symlinkSync(rest, full)
    else if (sign === '==') linkSync(join(root, rest), full)
    else if (path.endsWith('/')) {
      mkdirSync(full, { recursive: true })
      modes.set(full, Number.parseInt(mode ?? '0755', 8))
    } else {
      writeFileSync(full, sign === undefined ? path : rest.replaceAll(String.raw`\n`, '\n'))
      modes.set(full, Number.parseInt(mode ?? '0644', 8))
    }
  }
  for (const [path, mode] of modes) chmodSync(path, mode)
}
