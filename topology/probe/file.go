// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mllb/topology"
)

// Schema is the version of the file of a profile. It rises with each change: a
// file that says more than is known is not to be believed in part.
const Schema = 1

// maxFile bounds a profile: one of 512 CPUs has 2 MB.
const maxFile = 64 << 20

// Identity is what tells a machine and its boot from others.
type Identity struct {
	Host, Boot, Kernel string
	Possible, Online   topology.CPUSet
}

// Identify reads the identity of the host below root, whose topology is told.
func Identify(root string, told *topology.Topology) (Identity, error) {
	id := Identity{Possible: told.Online.Or(told.Offline), Online: told.Online}
	boot, err := line1(root, "proc/sys/kernel/random/boot_id")
	if err != nil {
		return id, fmt.Errorf("read the boot id: %w", err)
	}
	id.Boot = boot
	if id.Kernel, err = line1(root, "proc/sys/kernel/osrelease"); err != nil {
		return id, fmt.Errorf("read the kernel's release: %w", err)
	}
	id.Host, err = hostID(root)
	return id, err
}

// hostID is a hash of /etc/machine-id, which must not be given away
// (machine-id(5)), or where there is none, as in an initramfs, the host's name.
func hostID(root string) (string, error) {
	if id, err := line1(root, "etc/machine-id"); err == nil && id != "" {
		h := hmac.New(sha256.New, []byte(id))
		h.Write([]byte("mllb machine profile"))
		return "id:" + hex.EncodeToString(h.Sum(nil)[:16]), nil
	}
	name, err := line1(root, "proc/sys/kernel/hostname")
	if err != nil {
		return "", fmt.Errorf("read the host's name: %w", err)
	}
	return "name:" + name, nil
}

func line1(root, name string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, name))
	return strings.TrimSpace(string(text)), err
}

// Stamp says of which machine a profile is.
func (p *Profile) Stamp(id Identity, date, by string) {
	p.Host, p.Boot, p.Kernel, p.Date, p.By = id.Host, id.Boot, id.Kernel, date, by
	p.Possible, p.Online = id.Possible, id.Online
}

// Write writes a profile with its digest.
func (p *Profile) Write(w io.Writer) error {
	digest, err := p.digest()
	if err != nil {
		return err
	}
	p.Digest = digest
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(p)
}

// digest is that of all fields but itself.
func (p *Profile) digest() (string, error) {
	q := *p
	q.Digest = ""
	text, err := json.Marshal(&q)
	if err != nil {
		return "", fmt.Errorf("digest: %w", err)
	}
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

// ErrNotProfile says that a file is something else.
var ErrNotProfile = errors.New("not a machine profile: mllb topology --probe --out FILE makes one")

// Parse reads a profile, and refuses what it does not know or what was changed
// by hand. The error names the field.
func Parse(r io.Reader) (*Profile, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("larger than %d bytes", maxFile)
	}
	var head struct {
		Schema *int    `json:"schema"`
		Digest *string `json:"digest"`
	}
	if err := json.Unmarshal(data, &head); err != nil || head.Schema == nil || head.Digest == nil {
		return nil, ErrNotProfile
	}
	if *head.Schema != Schema {
		return nil, fmt.Errorf("schema: %d, want %d", *head.Schema, Schema)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	p := new(Profile)
	if err := dec.Decode(p); err != nil {
		return nil, fmt.Errorf("parse: %w", err)
	}
	digest, err := p.digest()
	if err != nil {
		return nil, err
	}
	if digest != p.Digest {
		return nil, errors.New("digest: the rest of the file is not what was measured: it was changed since")
	}
	return p, p.validate()
}

// validate refuses what no probe writes.
func (p *Profile) validate() error {
	if !p.Online.SubsetOf(p.Possible) || !p.Probed.SubsetOf(p.Online) || p.Probed.Count() < 2 {
		return fmt.Errorf("probed: {%v} are not two or more of online {%v} and possible {%v}", p.Probed, p.Online, p.Possible)
	}
	if len(p.Speeds) != p.Probed.Count() {
		return fmt.Errorf("speeds: %d, want %d", len(p.Speeds), p.Probed.Count())
	}
	for i, s := range p.Speeds {
		if !p.Probed.Has(s.CPU) || !(s.Speed.Median > 0 && s.Speed.Median <= 1024) {
			return fmt.Errorf("speeds[%d]: CPU %d, %v of 1024", i, s.CPU, s.Speed.Median)
		}
	}
	if err := p.disjoint("cores", p.coreSets()); err != nil {
		return err
	}
	if err := p.disjoint("llcs", all(p.LLCs)); err != nil {
		return err
	}
	if err := p.disjoint("nodes", all(p.Nodes)); err != nil {
		return err
	}
	for i, d := range p.Doubts {
		if !slices.ContainsFunc(doubtQuestions, func(q struct{ what, question string }) bool { return q.what == d.What }) {
			return fmt.Errorf("doubts[%d].what: %.20q", i, d.What)
		}
	}
	for i, pair := range p.Pairs {
		if pair.A >= pair.B || !p.Probed.Has(pair.A) || !p.Probed.Has(pair.B) || math.IsNaN(pair.Handoff.Median+pair.CoRun.Median) {
			return fmt.Errorf("pairs[%d]: %d and %d", i, pair.A, pair.B)
		}
	}
	return nil
}

func all(groups []Group) (sets []topology.CPUSet) {
	for _, g := range groups {
		sets = append(sets, g.CPUs)
	}
	return sets
}

// disjoint refuses sets that share CPUs, or hold others than were probed.
func (p *Profile) disjoint(field string, sets []topology.CPUSet) error {
	var seen topology.CPUSet
	for i, set := range sets {
		if set.Empty() || set.Intersects(seen) || !set.SubsetOf(p.Probed) {
			return fmt.Errorf("%s[%d]: {%v} is empty, not probed, or in two of them", field, i, set)
		}
		seen = seen.Or(set)
	}
	return nil
}

// Match refuses the profile of another machine. After another boot the CPUs have
// to be the same.
func (p *Profile) Match(id Identity) error {
	switch {
	case p.Host != id.Host:
		return fmt.Errorf("host: it is of another machine (%.40s), not this one (%s): probe this one", p.Host, id.Host)
	case p.Boot == id.Boot:
		return nil
	case !p.Possible.Equal(id.Possible):
		return fmt.Errorf("possible: CPUs {%v} at the boot it is of, {%v} now: probe again", p.Possible, id.Possible)
	case !p.Online.Equal(id.Online):
		return fmt.Errorf("online: CPUs {%v} at the boot it is of, {%v} now: probe again", p.Online, id.Online)
	}
	return nil
}
