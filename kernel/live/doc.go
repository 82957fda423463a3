// SPDX-License-Identifier: Apache-2.0

// Package live tests a running kernel with mllb's patches. On any other its
// tests skip themselves; `make test-kernel` boots one in the lab for them.
package live
