/** Shells that `cloudimg completion` knows. */
export const shells = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof shells)[number]

/**
 * What a shell is given to load. Each passes the words before the cursor on to `cloudimg __complete`, which answers with
 * candidates, one a line; where there are none the shell completes file names.
 */
export const completionScripts: Readonly<Record<Shell, string>> = {
  // A colon parts words in bash: candidates are cut behind the last one that is typed already.
  bash: `# cloudimg completion for bash: source <(cloudimg completion bash)
_cloudimg() {
  local line="\${COMP_LINE:0:COMP_POINT}" words word prefix candidate
  read -r -a words <<<"$line"
  [[ "$line" == *[[:space:]] ]] && words+=("")
  word="\${words[-1]}"
  prefix=""
  [[ "$COMP_WORDBREAKS" == *:* && "$word" == *:* ]] && prefix="\${word%"\${word##*:}"}"
  COMPREPLY=()
  while IFS= read -r candidate; do
    [[ "$candidate" == "$word"* ]] && COMPREPLY+=("\${candidate#"$prefix"}")
  done < <("\${words[0]}" __complete -- "\${words[@]:1}" 2>/dev/null)
  return 0
}
complete -o default -F _cloudimg cloudimg
`,
  zsh: `#compdef cloudimg
# cloudimg completion for zsh: source <(cloudimg completion zsh), or as _cloudimg in a folder of $fpath
_cloudimg() {
  local -a candidates
  candidates=("\${(@f)$("\${words[1]}" __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  candidates=("\${(@)candidates:#}")
  if (( \${#candidates} )); then
    compadd -- "\${candidates[@]}"
  else
    _files
  fi
}
if [ "$funcstack[1]" = "_cloudimg" ]; then
  _cloudimg "$@"
else
  compdef _cloudimg cloudimg
fi
`,
  fish: `# cloudimg completion for fish: cloudimg completion fish | source
function __cloudimg_complete
  set -l words (commandline -opc) (commandline -ct)
  $words[1] __complete -- $words[2..-1] 2>/dev/null
end
complete -c cloudimg -a '(__cloudimg_complete)'
`,
}
