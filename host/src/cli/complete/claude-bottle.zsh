#compdef claude-bottle
# Completions of claude-bottle for zsh. What fits is asked of the program itself.
_claude-bottle() {
    local found line value code
    local -a typed entries
    typed=("${(@)words[1,CURRENT-1]}" "$PREFIX")
    found=$(command claude-bottle complete -- "${(@)typed}" 2>/dev/null)
    code=$?
    if (( code == 3 )); then
        compset -P '--*='
        _files
        return
    fi
    for line in "${(@f)found}"; do
        [[ -n $line ]] || continue
        value=${line%%$'\t'*}
        entries+=("${value//:/\\:}:${line#*$'\t'}")
    done
    (( $#entries )) && _describe -V claude-bottle entries
}
if [[ ${funcstack[1]} == _claude-bottle ]]; then
    _claude-bottle "$@"
else
    compdef _claude-bottle claude-bottle
fi
