// SPDX-License-Identifier: Apache-2.0

package argv

import (
	"errors"
	"reflect"
	"slices"

	"github.com/alecthomas/kong"
)

var errEmpty = errors.New("the value is empty")

// NoneEmpty refuses empty values of flags, of their environment variables and of
// arguments: an unset variable of the shell must not read as if the flag were not
// there. A field with the tag empty:"" takes them, and so does a command that is
// passed through.
func NoneEmpty() kong.Option {
	return kong.PostBuild(func(k *kong.Kong) error {
		return kong.Visit(k.Model, func(node kong.Visitable, next kong.Next) error {
			switch n := node.(type) {
			case *kong.Flag:
				wrap(n.Value)
			case *kong.Value:
				wrap(n)
			}
			return next(nil)
		})
	})
}

// wrap leaves booleans alone, whose mappers have methods of their own and refuse
// empty values themselves.
func wrap(v *kong.Value) {
	if v.IsBool() || v.Tag.Has("empty") || v.PassthroughMode != kong.PassThroughModeNone {
		return
	}
	m := v.Mapper
	v.Mapper = kong.MapperFunc(func(ctx *kong.DecodeContext, target reflect.Value) error {
		if ctx.Scan.Peek().Value == "" {
			return errEmpty
		}
		if err := m.Decode(ctx, target); err != nil {
			return err
		}
		if list, ok := target.Interface().([]string); ok && slices.Contains(list, "") { // as in a,,b
			return errEmpty
		}
		return nil
	})
}
