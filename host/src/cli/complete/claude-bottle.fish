# Completions of claude-bottle for fish. What fits is asked of the program itself.
function __claude_bottle_complete
    set -l current (commandline --current-token)
    set -l words (commandline --tokenize --cut-at-cursor --current-process) "$current"
    set -l found (command claude-bottle complete -- $words 2>/dev/null)
    if test $status -eq 3
        set -l option (string match --regex -- '^--[a-z0-9-]+=' "$current")
        set -l path (string replace --regex -- '^--[a-z0-9-]+=' '' "$current")
        for file in (__fish_complete_path "$path")
            echo "$option$file"
        end
        return
    end
    printf '%s\n' $found
end
complete --command claude-bottle --no-files --keep-order --arguments '(__claude_bottle_complete)'
