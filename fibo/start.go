// SPDX-License-Identifier: Apache-2.0

//go:build amd64 || arm64

package fibo

// start runs f in a new thread, and returns its id or a negative errno.
//
//go:noescape
func start(f *frame) int64
