// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"errors"
	"fmt"
	"math"

	"github.com/parquet-go/parquet-go"

	"mllb/features"
)

// maxListLen is the most nodes that a kernel can have: a longer list of faults
// is no list of faults.
const maxListLen = maxNode + 1

var (
	idleNames      = newNames(features.NewlyIdle + 1)
	conditionNames = newNames(features.NumConditions)
	migrationNames = newNames(features.NumMigrationTypes)
)

// names are those of an enum, both ways.
type names[E ~uint8] struct {
	text [][]byte
	by   map[string]E
}

func newNames[E interface {
	~uint8
	fmt.Stringer
}](n E) names[E] {
	t := names[E]{by: make(map[string]E)}
	for e := range n {
		t.text = append(t.text, []byte(e.String()))
		t.by[e.String()] = e
	}
	return t
}

func (t names[E]) value(e E) (parquet.Value, error) {
	if int(e) >= len(t.text) {
		return parquet.Value{}, fmt.Errorf("%d has no name", e)
	}
	return parquet.ByteArrayValue(t.text[e]), nil
}

func (t names[E]) parse(e *E, v parquet.Value) (err error) {
	known := false
	if *e, known = t.by[string(v.ByteArray())]; !known {
		err = fmt.Errorf("%q is not a known name", clip(v.ByteArray()))
	}
	return err
}

// appendRow appends r as Parquet values. They point into r.
func appendRow(dst parquet.Row, r *Row) (parquet.Row, error) {
	if undefined := r.Domain &^ definedDomainFlags; undefined != 0 {
		return dst, fmt.Errorf("domain flags %#x are not defined", undefined)
	}
	for i := range columns {
		c := &columns[i]
		field := c.field(r)
		if list, ok := field.(*[]uint64); ok {
			if len(*list) > maxListLen {
				return dst, fmt.Errorf("column %s: %d nodes, more than %d", c.name, len(*list), maxListLen)
			}
			dst = appendList(dst, i, *list)
			continue
		}
		v, err := c.value(field)
		if err != nil {
			return dst, fmt.Errorf("column %s: %w", c.name, err)
		}
		dst = append(dst, v.Level(0, 0, i))
	}
	return dst, nil
}

// appendList appends a LIST, whose levels say: repeated at depth 1, and there
// (1) or empty (0).
func appendList(dst parquet.Row, column int, list []uint64) parquet.Row {
	if len(list) == 0 {
		return append(dst, parquet.NullValue().Level(0, 0, column))
	}
	for i, x := range list {
		dst = append(dst, parquet.Int64Value(int64(x)).Level(min(i, 1), 1, column))
	}
	return dst
}

// value returns a field that is not a list, once it keeps the column's limits.
func (c *column) value(field any) (parquet.Value, error) {
	switch p := field.(type) {
	case *bool:
		return parquet.BooleanValue(*p), nil
	case *features.DomainFlags:
		return parquet.BooleanValue(*p&c.flag != 0), nil
	case *int8:
		return parquet.Int32Value(int32(*p)), c.check(int64(*p))
	case *uint8:
		return parquet.Int32Value(int32(*p)), nil
	case *int32:
		return parquet.Int32Value(*p), c.check(int64(*p))
	case *uint32:
		return parquet.Int32Value(int32(*p)), nil
	case *int64:
		return parquet.Int64Value(*p), c.check(*p)
	case *uint64:
		return parquet.Int64Value(int64(*p)), nil
	case *string:
		return parquet.ByteArrayValue([]byte(*p)), nil
	case *[16]byte:
		return parquet.ByteArrayValue(escape(p)), nil
	case *features.IdleType:
		return idleNames.value(*p)
	case *features.Condition:
		return conditionNames.value(*p)
	case *features.MigrationType:
		return migrationNames.value(*p)
	}
	return parquet.Value{}, fmt.Errorf("cannot store a %T", field)
}

func (c *column) check(x int64) error {
	if (c.low != 0 || c.high != 0) && (x < c.low || x > c.high) {
		return fmt.Errorf("%d is not in %d..%d", x, c.low, c.high)
	}
	return nil
}

var (
	errMissing  = errors.New("no value")
	errRepeated = errors.New("more than one value")
	errTooLong  = errors.New("more nodes than any kernel has")
)

// parse is the inverse of appendRow for one column: it sets the field from the
// row's values, which it does not keep. Tags of the run are compared.
func (c *column) parse(field any, values []parquet.Value) error {
	if list, ok := field.(*[]uint64); ok {
		return parseList(list, values)
	}
	switch {
	case len(values) == 0 || values[0].IsNull():
		return errMissing
	case len(values) > 1:
		return errRepeated
	}
	v := values[0]
	switch p := field.(type) {
	case *bool:
		*p = v.Boolean()
	case *features.DomainFlags:
		*p &^= c.flag
		if v.Boolean() {
			*p |= c.flag
		}
	case *string:
		if string(v.ByteArray()) != *p {
			return fmt.Errorf("%q, where the run's is %q", clip(v.ByteArray()), *p)
		}
	case *[16]byte:
		return unescape(p, v.ByteArray())
	case *features.IdleType:
		return idleNames.parse(p, v)
	case *features.Condition:
		return conditionNames.parse(p, v)
	case *features.MigrationType:
		return migrationNames.parse(p, v)
	default:
		return c.parseInt(field, v)
	}
	return nil
}

func (c *column) parseInt(field any, v parquet.Value) error {
	switch p := field.(type) {
	case *int8:
		*p = int8(v.Int32())
		return c.check(int64(v.Int32()))
	case *uint8:
		*p = uint8(v.Int32())
		if x := v.Int32(); x < 0 || x > math.MaxUint8 {
			return fmt.Errorf("%d is not in 0..255", x)
		}
	case *int32:
		*p = v.Int32()
		return c.check(int64(*p))
	case *uint32:
		*p = v.Uint32()
	case *int64:
		*p = v.Int64()
		return c.check(*p)
	case *uint64:
		*p = v.Uint64()
	default:
		return fmt.Errorf("cannot read a %T", field)
	}
	return nil
}

// parseList reads into the memory that the list had.
func parseList(list *[]uint64, values []parquet.Value) error {
	*list = (*list)[:0]
	switch {
	case len(values) == 0:
		return errMissing
	case len(values) > maxListLen:
		return errTooLong
	case len(values) == 1 && values[0].IsNull():
		return nil
	}
	for _, v := range values {
		if v.IsNull() {
			return errMissing
		}
		*list = append(*list, v.Uint64())
	}
	return nil
}
