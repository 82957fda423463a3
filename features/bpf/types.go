// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// kernelTypes is the kernel's BTF. Its 5 MB take 25 ms to parse, so all programs that
// are loaded before ForgetTypes share it.
var kernelTypes struct {
	sync.Mutex
	cache *btf.Cache
}

// withTypes returns options that load programs by the shared BTF.
func withTypes(opt ebpf.CollectionOptions) *ebpf.CollectionOptions {
	kernelTypes.Lock()
	defer kernelTypes.Unlock()
	if kernelTypes.cache == nil {
		kernelTypes.cache = btf.NewCache()
	}
	opt.Cache = kernelTypes.cache
	return &opt
}

// ForgetTypes drops what is known of the kernel's types: some MB that only loading
// programs needs. What is loaded afterwards parses them again.
func ForgetTypes() {
	kernelTypes.Lock()
	defer kernelTypes.Unlock()
	kernelTypes.cache = nil
}
