#compdef NAME
# SPDX-License-Identifier: Apache-2.0
autoload -U +X bashcompinit && bashcompinit
complete -o default -o bashdefault -C NAME NAME
_bash_complete -o default -o bashdefault -C NAME
