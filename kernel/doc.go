// SPDX-License-Identifier: Apache-2.0

// Package kernel holds the in-kernel path: the C of the network (src), the patch
// series that puts it into a kernel (patches), and the kernel's configuration. Its
// tests build the C for user space (native) and hold it against the integer network
// of package mlp to the bit. Judge does the same for decisions that a kernel traced;
// package live tests a running one.
package kernel
