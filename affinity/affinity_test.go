// SPDX-License-Identifier: Apache-2.0

package affinity_test

import (
	"mllb/affinity"
	"mllb/scheduler"
)

// The enforcer fits the interface that the scheduler declares, though neither
// package's code imports the other.
var _ scheduler.Enforcer = (*affinity.Enforcer)(nil)
