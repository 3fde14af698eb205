// The value of a key that names a secret: quoted, or up to what ends it in either style of YAML.
const secret = /(\b(?!\w*Env\b)\w*(?:passw|secret|token)[\w-]*["']?\s*:[ \t]*)("[^"\n]*"|'[^'\n]*'|[^\s,}#][^,}#\n]*)/gi

/** Who logs in where, in a URL. */
const login = /(:\/\/)([^\s/@"']+)(?=@)/g

/** A text whose lines may be shown: secrets that should not be there are stars, everything else is at its place. */
export function hideSecrets(text: string): string {
  const stars = (_: string, before: string, value: string): string => `${before}${'*'.repeat(value.length)}`
  return text.replaceAll(secret, stars).replaceAll(login, stars)
}
