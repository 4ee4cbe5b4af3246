# Completions of claude-bottle for bash. What fits is asked of the program itself.
_claude_bottle() {
    local words=() joined=0 part i
    for ((i = 0; i <= COMP_CWORD; i++)); do
        part=${COMP_WORDS[i]}
        # bash takes --backend=x, and host:443, for three words.
        if ((i > 1)) && [[ $joined == 1 || $part == [=:]* ]]; then
            words[${#words[@]} - 1]+=$part
        else
            words+=("$part")
        fi
        joined=0
        if [[ $part == *[=:] ]]; then joined=1; fi
    done
    local current=${words[${#words[@]} - 1]} piece=${COMP_WORDS[COMP_CWORD]}
    if [[ $piece == [=:] ]]; then piece=; fi
    # What readline does not replace.
    local before=${current%"$piece"}
    local found line code=0
    found=$(command claude-bottle complete -- "${words[@]}" 2>/dev/null) || code=$?
    COMPREPLY=()
    while IFS= read -r line; do
        line=${line%%$'\t'*}
        if [[ -n $line ]]; then COMPREPLY+=("${line#"$before"}"); fi
    done <<<"$found"
    if ((code == 3)); then
        compopt -o default 2>/dev/null
    elif ((${#COMPREPLY[@]} == 1)) && [[ ${COMPREPLY[0]} == *= ]]; then
        compopt -o nospace 2>/dev/null
    fi
    return 0
}
complete -o nosort -F _claude_bottle claude-bottle 2>/dev/null || complete -F _claude_bottle claude-bottle
