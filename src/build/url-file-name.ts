import { posix } from 'node:path'

/** The name that a URL's file gets where it is put: its path's last part, decoded where that is possible. */
export function urlFileName(url: string): string {
  return posix.basename(decoded(new URL(url).pathname))
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}
