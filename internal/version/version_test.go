// SPDX-License-Identifier: Apache-2.0

package version

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestRead(t *testing.T) {
	vcs := []debug.BuildSetting{{Key: "vcs.revision", Value: "5e0c"}, {Key: "vcs.modified", Value: "true"}}
	for _, tt := range []struct {
		name, version string
		info          debug.BuildInfo
		want          string
	}{
		{"made by make", "v1.2.3-4-g5e0c", debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}, Settings: vcs[:1]}, "v1.2.3-4-g5e0c 5e0c"},
		{"installed as a module", "", debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}, "v1.2.3"},
		{"from a changed tree", "", debug.BuildInfo{Main: debug.Module{Version: "(devel)"}, Settings: vcs}, "(devel) 5e0c+dirty"},
		{"without a repository", "", debug.BuildInfo{Settings: vcs[1:]}, "(devel)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, want := read(Info{Version: tt.version}, &tt.info).String(), tt.want+" "+runtime.Version(); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}
