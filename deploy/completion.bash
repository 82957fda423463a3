# SPDX-License-Identifier: Apache-2.0
complete -o default -o bashdefault -C NAME NAME
