// SPDX-License-Identifier: Apache-2.0

package number

import (
	"encoding/json"
	"math"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

var inf = Num(math.Inf(1))

func TestString(t *testing.T) {
	for x, want := range map[Num]string{
		0: "0", 3: "3", -12: "-12", 123456: "123456", 1 << 52: "4503599627370496", 1 << 60: "1.153e+18", 12345678.5: "12345678",
		0.5: "0.5000", -0.5: "-0.5000", 0.99874: "0.9987", 12.3456: "12.35", 1234.56: "1235",
		0.012345: "0.01235", 0.001: "0.001000", 0.00012345: "0.0001234", 1.2345e-9: "1.235e-09",
		inf: "-", -inf: "-", Unknown: "-",
	} {
		if got := x.String(); got != want {
			t.Errorf("%g: %q, want %q", float64(x), got, want)
		}
	}
}

// Four digits are as near as four digits can be.
func TestStringNear(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.Float64Range(-1e12, 1e12).Draw(t, "x")
		back, err := strconv.ParseFloat(Num(x).String(), 64)
		if err != nil || math.Abs(back-x) > math.Abs(x)*0.00050001 {
			t.Errorf("%g reads %g, %v", x, back, err)
		}
	})
}

func TestFixed(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{Num(1.23456).Fixed(3), "1.235"},
		{Num(2).Fixed(1), "2.0"},
		{Num(-0.0004).Fixed(3), "0.000"},
		{Num(-0.4).Fixed(0), "0"},
		{Unknown.Fixed(3), "-"},
		{Num(0.123456).Points(3), "12.346"},
		{Num(1).Points(3), "100.000"},
		{Num(0.9999999).Points(3), "99.999"},
		{Num(0.9999999).Points(0), "99"},
		{Num(1.2).Points(1), "120.0"},
		{Unknown.Points(3), "-"},
		{inf.Points(3), "-"},
		{Num(0.004).Percent(2), "0.40 %"},
		{Num(0.99999).Percent(1), "99.9 %"},
		{Unknown.Percent(1), "-"},
		{Share(1, 3).Percent(2), "33.33 %"},
		{Share(uint64(0), 0).Percent(2), "-"},
		{Share(int64(5), 0).Percent(2), "-"},
		{Count(0), "0"}, {Count(999), "999"}, {Count(1000), "1,000"}, {Count(int64(-123456)), "-123,456"}, {Count(uint64(1234567)), "1,234,567"},
	} {
		if tt.got != tt.want {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
}

func TestJSON(t *testing.T) {
	b, err := json.Marshal([]Num{0.25, Unknown, inf, 1e-9})
	if err != nil || string(b) != "[0.25,null,null,1e-09]" {
		t.Errorf("%s, %v", b, err)
	}
	var got []Num
	if err := json.Unmarshal(b, &got); err != nil || len(got) != 4 || got[0] != 0.25 || got[1].Known() || got[2].Known() || got[3] != 1e-9 {
		t.Errorf("%s became %v, %v", b, got, err)
	}
	if err := json.Unmarshal([]byte(`"x"`), &got[0]); err == nil {
		t.Error("a string was taken for a number")
	}
}
