import { describe, expect, it } from 'vitest'
import { parseTemplate } from '../../../src/deploy/template.ts'

function shown(text: string): string {
  return parseTemplate(text)
    .pieces.map(piece => (typeof piece === 'string' ? piece : `<${piece.variable}:${piece.line}>`))
    .join('')
}

describe('a template', () => {
  it.each([
    ['plain {text} }}', 'plain {text} }}'],
    ['{{.A}}', '<A:1>'],
    ['a\n{{ .A }}\n\n{{ .B_1 }}b', 'a\n<A:2>\n\n<B_1:4>b'],
    ['x {{- .A -}} \n y', 'x<A:1>y'],
    ['x {{-.A}}', 'x {{-.A}}'],
    ['{{ "{{" }} .A }}', '{{ .A }}'],
    ['', ''],
  ])('puts variables in: %j', (text, expected) => {
    const { mistakes } = parseTemplate(text)
    if (!text.includes('{{-.')) {
      expect(mistakes).toEqual([])
      expect(shown(text)).toBe(expected)
    } else expect(mistakes).toHaveLength(1)
  })

  it.each(['{{ if .A }}', '{{ .A.B }}', '{{ .A | b64enc }}', '{{ A }}', '{{ }}', '{{ "a\\n" }}', '{{ range .A\n}}'])(
    'says that it does not understand %j',
    text => {
      expect(parseTemplate(`\n${text}`).mistakes).toEqual([{ line: 2, text }])
    },
  )
})
