// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"bytes"
	"fmt"
	"iter"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// MaxCPUs bounds the CPU ids that a CPUSet read from text may hold: the
// largest NR_CPUS any architecture allows (arch/x86/Kconfig, 6.12).
const MaxCPUs = 8192

// CPUSet is a set of CPU ids: the kernel's own bitmap, least significant word
// first. Words past the end count as zero, so sets of different lengths may be
// compared, and the nil set is empty.
type CPUSet []uint64

// NewCPUSet returns the set of the given CPUs.
func NewCPUSet(cpus ...int) CPUSet {
	var s CPUSet
	for _, c := range cpus {
		s.Add(c)
	}
	return s
}

// Has reports whether cpu is in the set.
func (s CPUSet) Has(cpu int) bool {
	return cpu >= 0 && cpu>>6 < len(s) && s[cpu>>6]&(1<<(cpu&63)) != 0
}

// Add puts cpu into the set, growing it where needed.
func (s *CPUSet) Add(cpu int) {
	for cpu>>6 >= len(*s) {
		*s = append(*s, 0)
	}
	(*s)[cpu>>6] |= 1 << (cpu & 63)
}

// Remove takes cpu out of the set.
func (s CPUSet) Remove(cpu int) {
	if s.Has(cpu) {
		s[cpu>>6] &^= 1 << (cpu & 63)
	}
}

// Count returns the number of CPUs in the set.
func (s CPUSet) Count() int {
	n := 0
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// Empty reports whether no CPU is in the set.
func (s CPUSet) Empty() bool {
	for _, w := range s {
		if w != 0 {
			return false
		}
	}
	return true
}

// First returns the lowest CPU of the set, or -1.
func (s CPUSet) First() int {
	for i, w := range s {
		if w != 0 {
			return i<<6 + bits.TrailingZeros64(w)
		}
	}
	return -1
}

// All yields the CPUs of the set in ascending order.
func (s CPUSet) All() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i, w := range s {
			for ; w != 0; w &= w - 1 {
				if !yield(i<<6 + bits.TrailingZeros64(w)) {
					return
				}
			}
		}
	}
}

func (s CPUSet) word(i int) uint64 {
	if i < len(s) {
		return s[i]
	}
	return 0
}

// Equal reports whether both sets hold the same CPUs.
func (s CPUSet) Equal(t CPUSet) bool {
	for i := range max(len(s), len(t)) {
		if s.word(i) != t.word(i) {
			return false
		}
	}
	return true
}

// SubsetOf reports whether every CPU of s is in t.
func (s CPUSet) SubsetOf(t CPUSet) bool {
	for i, w := range s {
		if w&^t.word(i) != 0 {
			return false
		}
	}
	return true
}

// Intersects reports whether the sets have a CPU in common.
func (s CPUSet) Intersects(t CPUSet) bool {
	for i, w := range s {
		if w&t.word(i) != 0 {
			return true
		}
	}
	return false
}

// And returns the CPUs that are in both sets, as a new set.
func (s CPUSet) And(t CPUSet) CPUSet {
	r := make(CPUSet, min(len(s), len(t)))
	for i := range r {
		r[i] = s[i] & t[i]
	}
	return r
}

// Or returns the CPUs that are in either set, as a new set.
func (s CPUSet) Or(t CPUSet) CPUSet {
	r := make(CPUSet, max(len(s), len(t)))
	for i := range r {
		r[i] = s.word(i) | t.word(i)
	}
	return r
}

// Clone returns a copy that shares no memory with s.
func (s CPUSet) Clone() CPUSet { return append(CPUSet(nil), s...) }

// Spare returns the bits of a mask's last word that are no CPU's, where cpus is
// the greatest id of a possible CPU plus 1: the kernel copies whole words
// (get_user_cpu_mask in kernel/sched/syscalls.c, 6.12).
func Spare(cpus int) CPUSet {
	var s CPUSet
	for bit := cpus; bit&63 != 0; bit++ {
		s.Add(bit)
	}
	return s
}

// String writes the set as the kernel's cpulist, such as "0-3,8".
func (s CPUSet) String() string {
	var b strings.Builder
	first, last := -1, -1
	flush := func() {
		if first < 0 {
			return
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(first))
		if last > first {
			b.WriteByte('-')
			b.WriteString(strconv.Itoa(last))
		}
	}
	for c := range s.All() {
		if c != last+1 || first < 0 {
			flush()
			first = c
		}
		last = c
	}
	flush()
	return b.String()
}

// padding is what may stand around a file's text. Kernels that have 1fae562983ca
// without its fix c86a2d9058c5 (5.15-rc) end a list with a newline and a NUL.
const padding = " \t\r\n\x00"

// ParseCPUList reads the kernel's cpulist format, such as "0-3,8" or "" for
// none (lib/bitmap-str.c, bitmap_parselist). Strides ("0-7:2/4") are not
// written by any file that mllb reads and are refused.
func ParseCPUList(list string) (CPUSet, error) {
	var s CPUSet
	list = strings.Trim(list, padding)
	if list == "" {
		return s, nil
	}
	for part := range strings.SplitSeq(list, ",") {
		lo, hi, isRange := strings.Cut(part, "-")
		first, err := parseCPU(lo)
		if err != nil {
			return nil, fmt.Errorf("cpu list %.60q: %w", list, err)
		}
		last := first
		if isRange {
			if last, err = parseCPU(hi); err != nil {
				return nil, fmt.Errorf("cpu list %.60q: %w", list, err)
			}
		}
		if last < first {
			return nil, fmt.Errorf("cpu list %.60q: range %.60q runs backwards", list, part)
		}
		for c := first; c <= last; c++ {
			s.Add(c)
		}
	}
	return s, nil
}

func parseCPU(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%.60q is not a cpu number", text)
	}
	if n >= MaxCPUs {
		return 0, fmt.Errorf("cpu %d is over the limit of %d", n, MaxCPUs)
	}
	return int(n), nil
}

// ParseCPUMask reads the kernel's bitmap format, 32-bit words in hexadecimal
// with the most significant first, such as "ffffffff,00000001" (%*pb,
// lib/vsprintf.c). It uses the memory of dst if that is large enough, and then
// does not allocate.
func ParseCPUMask(mask []byte, dst CPUSet) (CPUSet, error) {
	words := bytes.Count(mask, []byte{','}) + 1
	if words > MaxCPUs/32 {
		return nil, fmt.Errorf("cpu mask of %d words is over the limit of %d cpus", words, MaxCPUs)
	}
	dst = slices.Grow(dst[:0], (words+1)/2)[:(words+1)/2]
	clear(dst)
	for i := words - 1; i >= 0; i-- {
		var word []byte
		word, mask, _ = bytes.Cut(mask, []byte{','})
		n, err := strconv.ParseUint(string(word), 16, 32)
		if err != nil || len(word) > 8 {
			return nil, fmt.Errorf("cpu mask: %.40q is not a 32-bit hexadecimal word", word)
		}
		dst[i/2] |= n << (32 * (i & 1))
	}
	return dst, nil
}

// MarshalText writes the set as a cpulist, as String does.
func (s CPUSet) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a cpulist, as ParseCPUList does.
func (s *CPUSet) UnmarshalText(text []byte) error {
	set, err := ParseCPUList(string(text))
	if err != nil {
		return err
	}
	*s = set
	return nil
}
