// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"encoding/json"
	"math"
)

// UnmarshalJSON reads null as undefined.
func (f *Figure) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*f = Figure(math.NaN())
		return nil
	}
	return json.Unmarshal(b, (*float64)(f))
}
