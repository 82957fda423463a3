// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// escape returns the text up to the first NUL as the UTF-8 that a STRING column
// must be: a command name is whatever bytes prctl(2) PR_SET_NAME was given. A
// byte that is no UTF-8 becomes \xNN and a backslash \x5c. What needs no
// escaping points into text.
func escape(text *[16]byte) []byte {
	s := text[:]
	if i := bytes.IndexByte(s, 0); i >= 0 {
		s = s[:i]
	}
	if utf8.Valid(s) && bytes.IndexByte(s, '\\') < 0 {
		return s
	}
	var out []byte
	for len(s) > 0 {
		r, n := utf8.DecodeRune(s)
		if r == '\\' || r == utf8.RuneError && n == 1 {
			out = fmt.Appendf(out, `\x%02x`, s[0])
		} else {
			out = append(out, s[:n]...)
		}
		s = s[n:]
	}
	return out
}

// unescape is the inverse of escape.
func unescape(text *[16]byte, s []byte) error {
	*text = [16]byte{}
	whole, n := s, 0
	for len(s) > 0 {
		if n == len(text) {
			return fmt.Errorf("%q is longer than 16 bytes", clip(whole))
		}
		b, size := s[0], 1
		if b == '\\' {
			if len(s) < 4 || s[1] != 'x' {
				return fmt.Errorf(`%q: a backslash is only allowed in \xNN`, clip(whole))
			}
			x, err := strconv.ParseUint(string(s[2:4]), 16, 8)
			if err != nil {
				return fmt.Errorf(`%q: a backslash is only allowed in \xNN`, clip(whole))
			}
			b, size = byte(x), 4
		}
		if b == 0 {
			return fmt.Errorf("%q has a NUL", clip(whole))
		}
		text[n] = b
		n, s = n+1, s[size:]
	}
	return nil
}

// clip shortens what a hostile file may have made long, for an error of one
// line.
func clip(s []byte) string {
	const most = 40
	if len(s) <= most {
		return string(s)
	}
	return string(s[:most]) + "..."
}
