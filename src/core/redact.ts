const secretParameters =
  /^(token|access_token|refresh_token|password|passwd|secret|sig|signature|x-amz-.*|awsaccesskeyid|credential)$/i

/** A URL that may be shown: no user info, secret query values masked. */
export function redactUrl(url: string | URL): string {
  let parsed: URL
  try {
    parsed = new URL(url)
  } catch {
    return String(url)
  }
  if (parsed.username !== '' || parsed.password !== '') {
    parsed.username = ''
    parsed.password = ''
  }
  for (const key of Array.from(parsed.searchParams.keys()))
    if (secretParameters.test(key)) parsed.searchParams.set(key, 'redacted')
  return parsed.href
}

/** Every occurrence of each secret replaced, longest first; for the output of foreign programs. */
export function redactSecrets(text: string, secrets: readonly string[]): string {
  return [...secrets]
    .filter(secret => secret.length > 0)
    .sort((a, b) => b.length - a.length)
    .reduce((shown, secret) => shown.replaceAll(secret, '[redacted]'), text)
}
