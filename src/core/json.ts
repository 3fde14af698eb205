/** What the text says; undefined where it is no JSON: for those who hold it against a schema anyway. */
export function parseJson(text: string | Buffer): unknown {
  try {
    return JSON.parse(text.toString('utf8'))
  } catch {
    return undefined
  }
}
