// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"math"
	"slices"

	"github.com/aclements/go-moremath/stats"
	"golang.org/x/perf/benchmath"
)

var _ = stats.UDist{}
var _ = math.Pi
var _ = slices.Max[[]int]
var _ = benchmath.AssumeNothing
