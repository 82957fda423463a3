// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseRunconf(t *testing.T) {
	vars := map[string]string{"NTHREADS": "80", "PARSECDIR": "/p"}
	for _, tt := range []struct {
		name, text string
		want       runconf
		fail       string
	}{
		{"plain", "#!/bin/bash\n# words\n\nrun_exec=\"bin/x\"\nrun_args=\"${NTHREADS} in.txt out.txt\"\n", runconf{"bin/x", []string{"80", "in.txt", "out.txt"}, nil}, ""},
		{"exported", "run_exec=bin/x # which\nexport OMP_NUM_THREADS=${NTHREADS}\n  export  A='$b'\nrun_args=\"-t $NTHREADS\"", runconf{"bin/x", []string{"-t", "80"}, []string{"OMP_NUM_THREADS=80", "A=$b"}}, ""},
		{"own variable", "K=3\nrun_exec=\"bin/x\"\nrun_args=\"${K}${K} ${PARSECDIR}/f\"", runconf{"bin/x", []string{"33", "/p/f"}, nil}, ""},
		{"no arguments", "run_exec=\"bin/x\"\nrun_args=\"\"\npkg_cite='who'", runconf{"bin/x", nil, nil}, ""},
		{"empty", "", runconf{}, "it sets no run_exec"},
		{"no program", "run_args=\"1\"", runconf{}, "it sets no run_exec"},
		{"a statement", "run_exec=a\nif [ x ]; then", runconf{}, `line 2: "if [ x ]; then" is not a variable's assignment`},
		{"two in a line", "run_exec=a; run_args=b", runconf{}, "line 1: "},
		{"open quote", "run_exec=\"bin", runconf{}, "line 1: "},
		{"unset", "run_exec=a\n\nrun_args=\"${NTHREAD}\"", runconf{}, "line 3: ${NTHREAD} is not set"},
		{"command", "run_exec=a\nrun_args=\"$(nproc)\"", runconf{}, `line 2: "$(nproc)" is for a shell`},
		{"backquote", "run_exec=`a`", runconf{}, "line 1: "},
		{"redirection", "run_exec=a\nrun_args=\"< in\"", runconf{}, `run_args "< in": '<' is for a shell`},
		{"pattern", "run_exec=a\nrun_args='*.obj'", runconf{}, "is for a shell"},
	} {
		got, err := parseRunconf(strings.NewReader(tt.text), vars)
		if tt.fail != "" {
			if err == nil || !strings.Contains(err.Error(), tt.fail) {
				t.Errorf("%s: %v, want %q", tt.name, err, tt.fail)
			}
			continue
		}
		if len(got.args) == 0 {
			got.args = nil
		}
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, %v; want %+v", tt.name, got, err, tt.want)
		}
	}
}

func FuzzParseRunconf(f *testing.F) {
	f.Add("run_exec=\"bin/x\"\nrun_args=\"${NTHREADS} in.txt\"\nexport A=$NTHREADS")
	f.Add("run_exec='a'\nrun_args=\"$(b)\"")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseRunconf(strings.NewReader(text), map[string]string{"NTHREADS": "4"})
		if err != nil {
			return
		}
		if c.exec == "" {
			t.Error("no program and no error")
		}
		for _, word := range c.args {
			if word == "" || strings.ContainsAny(word, "$`;|<>&\"' \n") {
				t.Errorf("argument %q is for a shell", word)
			}
		}
		for _, kv := range c.env {
			if !strings.Contains(kv, "=") {
				t.Errorf("environment %q", kv)
			}
		}
	})
}
