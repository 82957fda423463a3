# SPDX-License-Identifier: Apache-2.0
function __complete_NAME
    set -lx COMP_LINE (commandline -cp)
    test -z (commandline -ct); and set COMP_LINE "$COMP_LINE "
    NAME
end
complete -c NAME -a '(__complete_NAME)'
