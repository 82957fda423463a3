// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Tool finds a program of this module for the guest: beside the running one,
// or built from source into the cache if this is a source tree.
func Tool(ctx context.Context, cache, name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program: %w", err)
	}
	if next := filepath.Join(filepath.Dir(self), name); isFile(next) {
		return next, nil
	}
	root, err := ModuleRoot(ctx)
	if err != nil {
		return "", fmt.Errorf("%s is not next to %s: %w", name, self, err)
	}
	out := filepath.Join(cache, "tools", name)
	return out, goBuild(ctx, root, "build", "-trimpath", "-o", out, "./cmd/"+name)
}

// ModuleRoot is the root of the source tree of this module that the working
// directory is in.
func ModuleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Path}} {{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the source to build from: go list -m: %w", err)
	}
	path, dir, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if path != "mllb" {
		return "", fmt.Errorf("no source to build from: the working directory is in module %s", path)
	}
	return dir, nil
}

// goBuild runs go build or go test -c for the guest: static and without debug
// information, a third of the size.
func goBuild(ctx context.Context, root string, args ...string) error {
	args = append([]string{args[0], "-ldflags=-s -w"}, args[1:]...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Optional is a program of the host for the guest's /bin, or nothing if the
// host lacks it.
func Optional(name string) ([]File, error) {
	host, err := exec.LookPath(name)
	if errors.Is(err, exec.ErrNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("find %s: %w", name, err)
	}
	return []File{{Host: host, Guest: guestPath + "/" + name}}, nil
}
