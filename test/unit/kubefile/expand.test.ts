import { describe, expect, it } from 'vitest'
import {
  ExpansionError,
  checkWord,
  expandWord,
  expandWords,
  expansionDiagnostic,
} from '../../../src/kubefile/expand.ts'

const variables: Readonly<Record<string, string>> = {
  HOME: '/root',
  EMPTY: '',
  WORD: 'k3s',
  FILE: '/opt/k3s/k3s-airgap-images-amd64.tar.zst',
  VERSION: 'v1.31.4+k3s1',
  SPACED: 'a  b c',
  STARS: 'a*b*c',
  LETTERS: 'abcabc',
  PATTERN: '*a',
  ROCKET: '🚀x🚀',
  STRASSE: 'äöü',
  größe: 'XL',
  _x1: 'under',
  LINES: 'one\ntwo',
  BACK: 'a\\b\\c',
}
const lookup = (name: string): string | undefined => variables[name]

// Its groups follow facts/oci.md §4.1 to §4.3; the vectors are our own.
describe('expandWord', () => {
  it.each<readonly [text: string, value: string]>([
    // no variables: facts/oci.md §4.2, "Applies"
    ['', ''],
    ['plain', 'plain'],
    ['two words', 'two words'],
    ['  kept  ', '  kept  '],
    ['100%', '100%'],
    ['a=b', 'a=b'],
    ['{x}', '{x}'],
    ['äöü 🚀', 'äöü 🚀'],
    // quotes: facts/oci.md §4.2, "Single quotes literal, double quotes expand"
    ["'single'", 'single'],
    ['"double"', 'double'],
    ['a"b"c', 'abc'],
    ["a'b'c", 'abc'],
    ['""', ''],
    ["''", ''],
    ['"it\'s"', "it's"],
    ['\'say "x"\'', 'say "x"'],
    ["'$HOME'", '$HOME'],
    ["'${HOME}'", '${HOME}'],
    ['"$HOME"', '/root'],
    ['"${HOME}/bin"', '/root/bin'],
    ['"a b"\' c\'', 'a b c'],
    // escapes: facts/oci.md §4.2, "escape char protects $"
    ['\\a', 'a'],
    ['\\\\', '\\'],
    ['\\$HOME', '$HOME'],
    ['\\${HOME}', '${HOME}'],
    ['a\\ b', 'a b'],
    ["\\'", "'"],
    ['\\"', '"'],
    ['end\\', 'end'],
    ['"\\$HOME"', '$HOME'],
    ['"\\""', '"'],
    ['"\\\\"', '\\'],
    ['"\\n"', '\\n'],
    ['"\\\'"', "\\'"],
    ["'\\n'", '\\n'],
    ["'\\\\'", '\\\\'],
    ['\\n', 'n'],
    // $name: facts/oci.md §4.2, "$x"
    ['$HOME', '/root'],
    ['$HOME/bin', '/root/bin'],
    ['$HOME$WORD', '/rootk3s'],
    ['$HOMEX', ''],
    ['$WORD.x', 'k3s.x'],
    ['$WORD-x', 'k3s-x'],
    ['x$EMPTY.y', 'x.y'],
    ['$MISSING', ''],
    ['a$MISSING.b', 'a.b'],
    ['$_x1', 'under'],
    ['$größe', 'XL'],
    ['$', '$'],
    ['a$', 'a$'],
    ['$ x', '$ x'],
    ['$/x', '$/x'],
    ['$(date)', '$(date)'],
    ['$1x', 'x'],
    ['$12x', 'x'],
    ['$@x', 'x'],
    ['$#', ''],
    ['$$', ''],
    ['"$"', '$'],
    // ${name}: facts/oci.md §4.2, "${x}"
    ['${HOME}', '/root'],
    ['${HOME}x', '/rootx'],
    ['a${WORD}b', 'ak3sb'],
    ['${MISSING}', ''],
    ['${EMPTY}', ''],
    ['${größe}', 'XL'],
    ['${_x1}', 'under'],
    ['${1}', ''],
    ['${@}', ''],
    // :- and -, nested: facts/oci.md §4.2, "Nested defaults work"
    ['${MISSING:-default}', 'default'],
    ['${EMPTY:-default}', 'default'],
    ['${WORD:-default}', 'k3s'],
    ['${MISSING-default}', 'default'],
    ['${EMPTY-default}', ''],
    ['${WORD-default}', 'k3s'],
    ['${MISSING:-}', ''],
    ['${MISSING:-a b}', 'a b'],
    ['${MISSING:-"a b"}', 'a b'],
    ["${MISSING:-'$HOME'}", '$HOME'],
    ['${MISSING:-"}"}', '}'],
    ['${MISSING:-\\}}', '}'],
    ['${MISSING:-$HOME}', '/root'],
    ['${MISSING:-${HOME}}', '/root'],
    ['${MISSING:-${EMPTY:-${WORD}}}', 'k3s'],
    ['${MISSING:-x}y', 'xy'],
    ['"${MISSING:-a b}"', 'a b'],
    ['${WORD:-${MISSING:?never asked}}', 'k3s'],
    // :+ and +: facts/oci.md §4.2
    ['${WORD:+yes}', 'yes'],
    ['${EMPTY:+yes}', ''],
    ['${MISSING:+yes}', ''],
    ['${WORD+yes}', 'yes'],
    ['${EMPTY+yes}', 'yes'],
    ['${MISSING+yes}', ''],
    ['v7${WORD:+-${WORD}}', 'v7-k3s'],
    ['${MISSING:+${MISSING:?never asked}}', ''],
    // :? and ?: facts/oci.md §4.2
    ['${WORD:?message}', 'k3s'],
    ['${WORD?message}', 'k3s'],
    ['${EMPTY?message}', ''],
    // # and ##: facts/oci.md §4.2
    ['${VERSION#v}', '1.31.4+k3s1'],
    ['${VERSION#x}', 'v1.31.4+k3s1'],
    ['${FILE#*/}', 'opt/k3s/k3s-airgap-images-amd64.tar.zst'],
    ['${FILE##*/}', 'k3s-airgap-images-amd64.tar.zst'],
    ['${LETTERS#*b}', 'cabc'],
    ['${LETTERS##*b}', 'c'],
    ['${LETTERS#???}', 'abc'],
    ['${LETTERS#}', 'abcabc'],
    ['${LETTERS##}', 'abcabc'],
    ['${LETTERS#*}', 'abcabc'],
    ['${LETTERS##*}', ''],
    ['${LETTERS#$PATTERN}', 'bcabc'],
    ['${LETTERS##$PATTERN}', 'bc'],
    ['${STARS#a\\*}', 'b*c'],
    ['${MISSING#x}', ''],
    ['${ROCKET#?}', 'x🚀'],
    ['${LINES#*o}', 'ne\ntwo'],
    ['${LINES##*o}', ''],
    ['${BACK##*\\\\}', 'c'],
    // % and %%: facts/oci.md §4.2
    ['${FILE%.zst}', '/opt/k3s/k3s-airgap-images-amd64.tar'],
    ['${FILE%.*}', '/opt/k3s/k3s-airgap-images-amd64.tar'],
    ['${FILE%%.*}', '/opt/k3s/k3s-airgap-images-amd64'],
    ['${FILE%/*}', '/opt/k3s'],
    ['${FILE%%/*}', ''],
    ['${VERSION%+k3s*}', 'v1.31.4'],
    ['${VERSION%%.*}', 'v1'],
    ['${LETTERS%b?}', 'abca'],
    ['${LETTERS%}', 'abcabc'],
    ['${LETTERS%%x*}', 'abcabc'],
    ['${STARS%\\*?}', 'a*b'],
    ['${STARS%%\\**}', 'a'],
    ['${STRASSE%?}', 'äö'],
    ['${ROCKET%?}', '🚀x'],
    // / and //: facts/oci.md §4.2
    ['${VERSION/+/-}', 'v1.31.4-k3s1'],
    ['${LETTERS/b/X}', 'aXcabc'],
    ['${LETTERS//b/X}', 'aXcaXc'],
    ['${LETTERS/b/}', 'acabc'],
    ['${LETTERS//b/}', 'acac'],
    ['${LETTERS//?/x}', 'xxxxxx'],
    ['${LETTERS/b*/X}', 'aX'],
    ['${LETTERS//[ab]/X}', 'abcabc'],
    ['${FILE//\\//_}', '_opt_k3s_k3s-airgap-images-amd64.tar.zst'],
    ['${STARS//\\*/+}', 'a+b+c'],
    ['${LETTERS/$PATTERN/X}', 'Xbc'],
    ['${LETTERS//c/$WORD}', 'abk3sabk3s'],
    ['${LETTERS//c/${EMPTY:-!}}', 'ab!ab!'],
    ['${LETTERS//c/$&}', 'ab$&ab$&'],
    ['${LETTERS/x/y}', 'abcabc'],
    ['${MISSING/x/y}', ''],
    ['${ROCKET//🚀/r}', 'rxr'],
    // what a Kubefile says: facts/oci.md §0.4, §4.3
    ['k3s@${VERSION}', 'k3s@v1.31.4+k3s1'],
    ['${WORD}-airgap-images-${MISSING:-amd64}.tar.zst', 'k3s-airgap-images-amd64.tar.zst'],
  ])('%s', (text, value) => {
    expect(expandWord(text, lookup).value).toBe(value)
  })

  it.each<readonly [text: string, value: string]>([
    ['`$HOME', '$HOME'],
    ['C:\\$WORD', 'C:\\k3s'],
    ['"`""', '"'],
    ['"\\$WORD"', '\\k3s'],
    ['a` b', 'a b'],
    ['``', '`'],
    ['${STARS#a`*}', 'b*c'],
    ['${BACK##*\\}', 'c'],
    ['${MISSING:-`}}', '}'],
    // facts/oci.md §4.1, "escape ∈ {\\, backtick}"
  ])('with ` as escape: %s', (text, value) => {
    expect(expandWord(text, lookup, { escape: '`' }).value).toBe(value)
  })

  it.each<readonly [text: string, value: string]>([
    ['it\'s "$WORD"\n', 'it\'s "k3s"\n'],
    ["'$WORD'", "'k3s'"],
    ['\\$WORD', '$WORD'],
    ['\\\\', '\\'],
    ['"open', '"open'],
    ['${MISSING:-"x"}', '"x"'],
    // facts/oci.md §4.1, "body expanded (quotes retained)"
  ])('with quotes kept, as in a heredoc: %j', (text, value) => {
    expect(expandWord(text, lookup, { quotes: 'keep' }).value).toBe(value)
  })

  it.each<readonly [text: string, reason: RegExp]>([
    // facts/oci.md §4.2, "no :=", "${} / ${: errors"
    ["'open", /single quote/],
    ['"open', /double quote/],
    ["a 'b' 'c", /single quote/],
    ['"a $HOME', /double quote/],
    ['${', /no "}"/],
    ['${HOME', /no "}"/],
    ['${HOME:', /no "}"/],
    ['${HOME:-x', /no "}"/],
    ['${HOME:-${WORD}', /no "}"/],
    ['${}', /bad substitution/],
    ['${:}', /bad substitution/],
    ['${:-x}', /bad substitution/],
    ['${{HOME}}', /bad substitution/],
    ['${ HOME}', /bad substitution/],
    ['${HOME }', /bad substitution/],
    ['${HOME:}', /bad substitution/],
    ['${HOME=x}', /bad substitution/],
    ['${HOME:=x}', /bad substitution/],
    ['${HOME:0:3}', /bad substitution/],
    ['${HOME:#x}', /bad substitution/],
    ['${HOME^^}', /bad substitution/],
    ['${HOME/x}', /second "\/"/],
    ['${HOME//x}', /second "\/"/],
    ['${HOME/x/y', /no "}"/],
    ['${HOME#\\x}', /bad pattern/],
    ['${MISSING?}', /MISSING: is not set/],
    ['${MISSING:?}', /MISSING: is not set/],
    ['${EMPTY:?}', /EMPTY: is empty/],
    ['${MISSING:?needs a $WORD}', /MISSING: needs a k3s/],
    ['${EMPTY:?say it}', /EMPTY: say it/],
    [`${'${A:-'.repeat(200)}${'}'.repeat(200)}`, /nested more than 100/],
    [`\${LETTERS//?/${'${LETTERS//?/'.repeat(12)}$LETTERS${'}'.repeat(13)}`, /1 MiB/],
  ])('refuses %.40s', (text, reason) => {
    expect(() => expandWord(text, lookup)).toThrow(ExpansionError)
    expect(() => expandWord(text, lookup)).toThrow(reason)
  })

  it('names what is not set, each once, and not what has a default', () => {
    expect(expandWord('$A ${B} $A ${C:-x} ${D#y} ${WORD} ${WORD:-$E} ${F:-$G} ${H:+$I}', lookup).unset).toEqual([
      'A',
      'B',
      'D',
      'G',
    ])
  })
})

describe('expandWords', () => {
  it.each<readonly [text: string, values: readonly string[]]>([
    ['80', ['80']],
    ['$SPACED', ['a', 'b', 'c']],
    ['"$SPACED"', ['a  b c']],
    ['x$SPACED', ['xa', 'b', 'c']],
    ['$SPACED/tcp', ['a', 'b', 'c/tcp']],
    ['${MISSING:-80 443}', ['80', '443']],
    ['a\\ b', ['a b']],
    ['$EMPTY', []],
    ['""', []],
    [' a ', ['a']],
  ])('%s', (text, values) => {
    expect(expandWords(text, lookup).values).toEqual(values)
  })
})

describe('checkWord', () => {
  it('finds what is wrong whatever the variables hold', () => {
    expect(checkWord('${A:?must be given}', '\\')).toBeUndefined()
    expect(checkWord('${A:-${B!}}', '\\')?.reason).toMatch(/bad substitution/)
  })

  it('says which part is wrong', () => {
    const error = checkWord('bin/${A', '\\')
    const start = { offset: 10, line: 2, column: 6 }
    const word = { text: 'bin/${A', span: { start, end: { offset: 17, line: 2, column: 13 } } }
    expect(expansionDiagnostic(error!, word).span).toEqual({
      start: { offset: 14, line: 2, column: 10 },
      end: { offset: 17, line: 2, column: 13 },
    })
  })

  it('points at the whole word where a continuation runs through it', () => {
    const span = { start: { offset: 0, line: 1, column: 1 }, end: { offset: 20, line: 2, column: 5 } }
    expect(expansionDiagnostic(checkWord('x${A', '\\')!, { text: 'x${A', span }).span).toBe(span)
  })
})
