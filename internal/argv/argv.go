// SPDX-License-Identifier: Apache-2.0

// Package argv keeps the bytes of a command line. To Linux an argument or a
// file name is any string of bytes but NUL (execve(2)); only programs take it
// for UTF-8.
package argv

import (
	"errors"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
)

// Options have kong store strings as they were given. Its own mappers pass
// them through JSON, or range over their runes to split lists, and either
// makes U+FFFD of what is no UTF-8.
func Options() kong.Option {
	return kong.OptionFunc(func(k *kong.Kong) error {
		return errors.Join(
			kong.KindMapper(reflect.String, kong.MapperFunc(decodeString)).Apply(k),
			kong.TypeMapper(reflect.TypeFor[[]string](), kong.MapperFunc(decodeList)).Apply(k))
	})
}

func decodeString(ctx *kong.DecodeContext, target reflect.Value) error {
	token, err := ctx.Scan.PopValue("string")
	if err != nil {
		return err
	}
	target.SetString(token.String())
	return nil
}

// decodeList takes all arguments that are left, or the value of a flag, whose
// parts are separated as its tag says. From a file they come apart.
func decodeList(ctx *kong.DecodeContext, target reflect.Value) error {
	list := target.Addr().Interface().(*[]string)
	if ctx.Value.Flag == nil {
		for _, token := range ctx.Scan.PopWhile(func(t kong.Token) bool { return t.IsValue() }) {
			*list = append(*list, token.String())
		}
		return nil
	}
	token := ctx.Scan.Pop()
	if token.IsEOL() {
		return errors.New("missing value")
	}
	if parts, ok := token.Value.([]string); ok {
		*list = append(*list, parts...)
		return nil
	}
	*list = append(*list, split(token.String(), ctx.Value.Tag.Sep)...)
	return nil
}

// split is kong.SplitEscaped for bytes: a separator after a backslash is none.
// All separators are ASCII, so no part of a longer character is taken for one.
func split(s string, sep rune) (parts []string) {
	if sep == -1 {
		return []string{s}
	}
	var part strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			if i++; rune(s[i]) != sep {
				part.WriteByte('\\')
			}
			part.WriteByte(s[i])
		case rune(s[i]) == sep:
			parts = append(parts, part.String())
			part.Reset()
		default:
			part.WriteByte(s[i])
		}
	}
	if part.Len() > 0 {
		parts = append(parts, part.String())
	}
	return parts
}
