// SPDX-License-Identifier: Apache-2.0

package topology

import "encoding/json"

// DocumentSchema is the version of Document. It rises when a field changes its
// meaning or goes; new fields do not raise it.
const DocumentSchema = 1

// Document is a topology as `mllb topology --json` prints it. Sets of CPUs are
// cpulists, such as "0-3,8". An id that is not known is -1.
type Document struct {
	Schema  int              `json:"schema"`
	Online  CPUSet           `json:"online"`
	Offline CPUSet           `json:"offline"`            // present or possible, not online
	LeftOut []LeftOut        `json:"left_out,omitempty"` // online, not balanced
	CPUs    []CPUDocument    `json:"cpus"`               // online and offline, ascending
	Cores   []CPUSet         `json:"cores"`
	LLCs    []CPUSet         `json:"llcs"`
	Nodes   []NodeDocument   `json:"nodes"`
	NUMA    NUMADocument     `json:"numa"`
	Domains []DomainDocument `json:"domains"` // bottom-up
}

// CPUDocument is one CPU of a Document.
type CPUDocument struct {
	ID      int  `json:"id"`
	Online  bool `json:"online"`
	Core    int  `json:"core"` // index into cores
	LLC     int  `json:"llc"`  // index into llcs
	Node    int  `json:"node"` // kernel node id
	Package int  `json:"package"`
}

// NodeDocument is one NUMA node of a Document.
type NodeDocument struct {
	ID        int    `json:"id"`
	CPUs      CPUSet `json:"cpus"`      // online
	Distances []int  `json:"distances"` // to each of nodes, in their order
}

// NUMADocument is the kernel's view of the nodes.
type NUMADocument struct {
	Type        string `json:"type"` // direct, glueless_mesh or backplane
	MaxDistance int    `json:"max_distance"`
}

// DomainDocument is one domain of a Document.
type DomainDocument struct {
	ID     int      `json:"id"`
	Level  string   `json:"level"` // smt, llc, node or machine
	CPUs   CPUSet   `json:"cpus"`
	Groups []CPUSet `json:"groups"`
}

// Document returns the topology's JSON form. It shares t's sets.
func (t *Topology) Document() Document {
	d := Document{
		Schema: DocumentSchema, Online: t.Online, Offline: t.Offline, LeftOut: t.LeftOut, Cores: t.Cores, LLCs: t.LLCs,
		NUMA:    NUMADocument{Type: t.NUMA.Type.String(), MaxDistance: t.NUMA.MaxDistance},
		Domains: []DomainDocument{}, // [] and not null on a host of one CPU
	}
	for cpu := range t.Online.Or(t.Offline).All() {
		d.CPUs = append(d.CPUs, CPUDocument(t.CPUs[cpu]))
	}
	for i, n := range t.Nodes {
		d.Nodes = append(d.Nodes, NodeDocument{ID: n.ID, CPUs: n.CPUs, Distances: t.Distances[i]})
	}
	for _, x := range t.Domains {
		d.Domains = append(d.Domains, DomainDocument{ID: x.ID, Level: x.Level.String(), CPUs: x.CPUs, Groups: x.Groups})
	}
	return d
}

// MarshalJSON writes the topology as a Document.
func (t *Topology) MarshalJSON() ([]byte, error) { return json.Marshal(t.Document()) }
