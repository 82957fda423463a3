// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"context"
	"encoding/csv"
	"io"
	"strconv"

	"mllb/features"
)

// ExportCSV writes rows as CSV with a line of names first. Without a set: every
// row, every column, lists separated by spaces. With one: the run, the label
// (1 migrate) and the features of the usable rows.
func ExportCSV(ctx context.Context, w io.Writer, set *features.Set, paths ...string) error {
	out := csv.NewWriter(w)
	names, fill := rawCSV()
	if set != nil {
		names, fill = setCSV(set)
	}
	// csv.Writer keeps its first error until Flush.
	_ = out.Write(names)
	cells := make([]string, len(names))
	err := Each(ctx, paths, func(_ string, _ int64, r *Row) error {
		if set != nil && !r.Usable() {
			return nil
		}
		fill(cells, r)
		return out.Write(cells)
	})
	out.Flush()
	if err != nil {
		return err
	}
	return out.Error()
}

func setCSV(set *features.Set) ([]string, func([]string, *Row)) {
	x := make([]float32, len(set.Features))
	return append([]string{"run_id", "label"}, set.Names()...), func(cells []string, r *Row) {
		set.Floats(x, &r.Decision)
		cells[0], cells[1] = r.Run.ID, strconv.Itoa(int(label(r)))
		for i, v := range x {
			cells[2+i] = strconv.FormatFloat(float64(v), 'g', -1, 32)
		}
	}
}

func rawCSV() ([]string, func([]string, *Row)) {
	names := make([]string, len(columns))
	for i := range columns {
		names[i] = columns[i].name
	}
	return names, func(cells []string, r *Row) {
		for i := range columns {
			cells[i] = columns[i].text(r)
		}
	}
}

// text is the column's value as a person reads it.
func (c *column) text(r *Row) string {
	switch p := c.field(r).(type) {
	case *[]uint64:
		var b []byte
		for i, x := range *p {
			if i > 0 {
				b = append(b, ' ')
			}
			b = strconv.AppendUint(b, x, 10)
		}
		return string(b)
	case *string:
		return *p
	case *[16]byte:
		return string(escape(p))
	case *bool:
		return strconv.FormatBool(*p)
	case *features.DomainFlags:
		return strconv.FormatBool(*p&c.flag != 0)
	case *features.IdleType:
		return p.String()
	case *features.Condition:
		return p.String()
	case *features.MigrationType:
		return p.String()
	case *uint64:
		return strconv.FormatUint(*p, 10)
	default:
		x, _ := integer(p)
		return strconv.FormatInt(x, 10)
	}
}

// integer returns what an integer field holds, if int64 can.
func integer(field any) (int64, bool) {
	switch p := field.(type) {
	case *int8:
		return int64(*p), true
	case *uint8:
		return int64(*p), true
	case *int32:
		return int64(*p), true
	case *uint32:
		return int64(*p), true
	case *int64:
		return *p, true
	case *uint64:
		return int64(*p), *p < 1<<63
	}
	return 0, false
}
