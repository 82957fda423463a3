// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mllb/topology"
)

// stamped is a profile of a simulated machine with all that a file has.
func stamped(t testing.TB) (*Profile, Identity) {
	s := flat(4).stack([]int{0, 1}).tell("1x4x1")
	s.busy = 0.1
	p, err := Run(context.Background(), s, Options{Told: s.told})
	if err != nil {
		t.Fatal(err)
	}
	id := Identity{Host: "id:1234", Boot: "boot-1", Kernel: "6.12", Possible: topology.NewCPUSet(0, 1, 2, 3, 4), Online: topology.NewCPUSet(0, 1, 2, 3)}
	p.Stamp(id, "2026-01-02T03:04:05Z", "test")
	return p, id
}

func written(t testing.TB, p *Profile) string {
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestFile: what is written is read.
func TestFile(t *testing.T) {
	p, id := stamped(t)
	got, err := Parse(strings.NewReader(written(t, p)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, got); diff != "" {
		t.Errorf("-written +read:\n%s", diff)
	}
	if err := got.Match(id); err != nil {
		t.Error(err)
	}
}

// TestParseRefuses: files that are no profile, or not as they were written.
func TestParseRefuses(t *testing.T) {
	p, _ := stamped(t)
	text := written(t, p)
	wrong := func(change func(p *Profile)) string {
		p, _ := stamped(t)
		change(p)
		return written(t, p) // with a digest that fits
	}
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "", "not a machine profile"},
		{"other JSON", `{"schema": 1}`, "not a machine profile"},
		{"a model", `{"schema": 1, "feature_set": "paper15"}`, "not a machine profile"},
		{"cut", text[:len(text)/2], "not a machine profile"},
		{"a later version", strings.Replace(text, `"schema": 1`, `"schema": 2`, 1), "schema: 2, want 1"},
		{"edited", strings.Replace(text, `"cpus": "0-1"`, `"cpus": "1-2"`, 1), "digest: the rest of the file is not what was measured: it was changed since"},
		{"an edited speed", strings.Replace(text, `"median": 1024`, `"median": 1000`, 1), "digest: the rest of the file is not what was measured: it was changed since"},
		{"no digest", strings.Replace(text, `"digest"`, `"digits"`, 1), "not a machine profile"},
		{"an unknown field", strings.Replace(text, `"boot"`, `"more": 1, "boot"`, 1), `parse: json: unknown field "more"`},
		{"a wrong type", strings.Replace(text, `"boot": "boot-1"`, `"boot": 7`, 1), "parse: json: cannot unmarshal number"},
		{"a list that is none", strings.Replace(text, `"online": "0-3"`, `"online": "3-0"`, 1), "runs backwards"},
		{"probed CPUs that are off line", wrong(func(p *Profile) { p.Probed.Add(4) }), "probed: {0-4}"},
		{"one core twice", wrong(func(p *Profile) { p.Cores = append(p.Cores, p.Cores[0]) }), "cores[1]: {0-1}"},
		{"an empty cache", wrong(func(p *Profile) { p.LLCs = append(p.LLCs, Group{}) }), "llcs[1]: {}"},
		{"a node of others", wrong(func(p *Profile) { p.Nodes = []Group{{CPUs: topology.NewCPUSet(70)}} }), "nodes[0]: {70}"},
		{"a speed of nothing", wrong(func(p *Profile) { p.Speeds[1].Speed.Median = 0 }), "speeds[1]: CPU 1, 0 of 1024"},
		{"no speeds", wrong(func(p *Profile) { p.Speeds = nil }), "speeds: 0, want 4"},
		{"a pair of one", wrong(func(p *Profile) { p.Pairs[0].B = p.Pairs[0].A }), "pairs[0]: 0 and 0"},
		{"an unknown doubt", wrong(func(p *Profile) { p.Doubts = []Doubt{{What: "all"}} }), `doubts[0].what: "all"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Parse(strings.NewReader(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// TestMatch: another machine is refused, another boot if the CPUs changed.
func TestMatch(t *testing.T) {
	p, id := stamped(t)
	for _, tt := range []struct {
		name   string
		change func(*Identity)
		want   string
	}{
		{"the same", func(*Identity) {}, ""},
		{"another boot", func(id *Identity) { id.Boot = "boot-2" }, ""},
		{"another machine", func(id *Identity) { id.Host = "name:b" }, "host: it is of another machine (id:1234), not this one (name:b): probe this one"},
		{"a CPU off line since", func(id *Identity) { id.Online = topology.NewCPUSet(0, 1) }, ""},
		{"another boot, fewer CPUs", func(id *Identity) { id.Boot, id.Online = "boot-2", topology.NewCPUSet(0, 1) },
			"online: CPUs {0-3} at the boot it is of, {0-1} now: probe again"},
		{"another boot, more possible", func(id *Identity) { id.Boot, id.Possible = "boot-2", topology.NewCPUSet(0, 1, 2, 3) },
			"possible: CPUs {0-4} at the boot it is of, {0-3} now: probe again"},
	} {
		other := id
		tt.change(&other)
		err := p.Match(other)
		if got := ""; err != nil && err.Error() != tt.want || err == nil && tt.want != got {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// TestIdentify: a machine is told by its id, which is not in the profile.
func TestIdentify(t *testing.T) {
	told, err := topology.Parse("1x2x1")
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	put := func(name, text string) {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Identify(root, told); err == nil || !strings.HasPrefix(err.Error(), "read the boot id: ") {
		t.Errorf("without anything: %v", err)
	}
	put("proc/sys/kernel/random/boot_id", "b\n")
	put("proc/sys/kernel/osrelease", "6.12\n")
	put("proc/sys/kernel/hostname", "guest\n")
	id, err := Identify(root, told)
	if want := (Identity{"name:guest", "b", "6.12", told.Online, told.Online}); err != nil || !cmp.Equal(id, want) {
		t.Errorf("got %+v, %v, want %+v", id, err, want)
	}
	put("etc/machine-id", "0123456789abcdef0123456789abcdef\n")
	one, err := Identify(root, told)
	if err != nil || !strings.HasPrefix(one.Host, "id:") || strings.Contains(one.Host, "0123456789abcdef") {
		t.Errorf("got %+v, %v", one, err)
	}
	put("etc/machine-id", "1123456789abcdef0123456789abcdef\n")
	if two, err := Identify(root, told); err != nil || two.Host == one.Host {
		t.Errorf("two machines have one name: %v, %v", two.Host, err)
	}
}

// FuzzParse: whatever is read is refused or makes a topology.
func FuzzParse(f *testing.F) {
	p, _ := stamped(f)
	f.Add([]byte(written(f, p)), uint8(4))
	p.Cores, p.Pairs = nil, nil
	f.Add([]byte(written(f, p)), uint8(2))
	f.Add([]byte(`{"schema":1,"digest":"","online":"0-8191"}`), uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, cpus uint8) {
		p, err := Parse(bytes.NewReader(data))
		if forged := new(Profile); err != nil && json.Unmarshal(data, forged) == nil {
			p, err = Parse(strings.NewReader(written(t, forged)))
		}
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than a line: %v", err)
			}
			return
		}
		s := flat(int(cpus)%16 + 1)
		for _, desc := range []string{"1x2x1", "2x2x2"} {
			told := s.tell(desc).told
			if top := p.Over(told); !top.Online.Equal(told.Online) {
				t.Errorf("online: %v of %v", top.Online, told.Online)
			}
			p.Words(told)
		}
		if p.Probed.Count() > 64 {
			return // it takes a while
		}
		if err := p.Draw(new(bytes.Buffer), 80, true); err != nil {
			t.Error(err)
		}
	})
}
