// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"mllb/internal/namedfile"
)

// check has the result of a run say that it is whole, and compares it with that
// of the first run in this directory: none depends on who ran when.
func (p program) check(dir string, args []string) func([]byte) error {
	return func(stdout []byte) error {
		got, err := p.result(dir, args, string(stdout))
		if err != nil {
			return err
		}
		path := filepath.Join(dir, "first-result")
		want, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			return namedfile.Write(context.Background(), path, []byte(got))
		}
		if err != nil {
			return err
		}
		if got != string(want) {
			return fmt.Errorf("its result differs from the first run's (%.16s, not %.16s)", got, want)
		}
		return nil
	}
}

// pricesOf blackscholes NTHREADS INPUT OUTPUT: a line for each option, and
// before them their number, as in the input.
func pricesOf(dir string, args []string, _ string) (string, error) {
	if len(args) != 3 {
		return "", fmt.Errorf("arguments %q: want three", args)
	}
	in, err := head(filepath.Join(dir, args[1]))
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(dir, args[2]))
	if err != nil {
		return "", err
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if n, err := strconv.Atoi(in); err != nil || lines[0] != in || len(lines)-1 != n {
		return "", fmt.Errorf("%s has %d prices for %q options", args[2], len(lines)-1, in)
	}
	return digest(strings.NewReader(string(text)))
}

// head is a file's first line.
func head(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	line, err := bufio.NewReader(f).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", err
	}
	return strings.TrimSpace(line), nil
}

// queriesOf ferret DATABASE TABLE QUERIES TOP DEPTH NTHREADS OUTPUT: a line for
// each query, in the order in which they were done.
func queriesOf(dir string, args []string, _ string) (string, error) {
	if len(args) != 7 {
		return "", fmt.Errorf("arguments %q: want seven", args)
	}
	queries, err := os.ReadDir(filepath.Join(dir, args[2]))
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(dir, args[6]))
	if err != nil {
		return "", err
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != len(queries) {
		return "", fmt.Errorf("%s answers %d of %d queries", args[6], len(lines), len(queries))
	}
	slices.Sort(lines)
	return digest(strings.NewReader(strings.Join(lines, "\n")))
}

var costLine = regexp.MustCompile(`(?m)^the data preparation cost [0-9.]+ seconds, the FPgrowth cost [0-9.]+ seconds$`)

// itemsetsOf freqmine: on stdout, how many sets there are of each size, and at
// the end how long it took.
func itemsetsOf(_ string, _ []string, stdout string) (string, error) {
	at := costLine.FindStringIndex(stdout)
	if at == nil || !strings.Contains(stdout, "transaction number is ") {
		return "", errors.New("it did not finish")
	}
	return digest(strings.NewReader(stdout[:at[0]]))
}

var swaptionLine = regexp.MustCompile(`Swaption (\d+): \[SwaptionPrice: [-+0-9.einfa]+ StdError: [-+0-9.einfa]+\]`)

// swaptionsIn reads -ns COUNT.
func swaptionsIn(args []string) int {
	i := slices.Index(args, "-ns")
	if i < 0 || i+1 == len(args) {
		return 0
	}
	n, _ := strconv.Atoi(args[i+1]) // 0: no work for any thread
	return n
}

// swaptionsOf swaptions -ns COUNT -sm TRIALS -nt NTHREADS: a price for each, on
// stderr.
func swaptionsOf(_ string, args []string, stdout string) (string, error) {
	count := swaptionsIn(args)
	if count < 1 {
		return "", fmt.Errorf("arguments %q: want -ns COUNT", args)
	}
	prices := make(map[string]string)
	for _, m := range swaptionLine.FindAllStringSubmatch(stdout, -1) {
		prices[m[1]] = m[0]
	}
	var text strings.Builder
	for i := range count {
		line, ok := prices[strconv.Itoa(i)]
		if !ok {
			return "", fmt.Errorf("it printed no price for swaption %d of %d", i, count)
		}
		text.WriteString(line + "\n")
	}
	return digest(strings.NewReader(text.String()))
}

// streamOf dedup: the file behind -o, whose order does not depend on threads.
func streamOf(dir string, args []string, _ string) (string, error) {
	i := slices.Index(args, "-o")
	if i < 0 || i+1 == len(args) {
		return "", fmt.Errorf("arguments %q: want -o FILE", args)
	}
	f, err := os.Open(filepath.Join(dir, args[i+1]))
	if err != nil {
		return "", err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() == 0 {
		return "", fmt.Errorf("%s is empty (%v)", args[i+1], err)
	}
	return digest(f)
}

func digest(r io.Reader) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
