// SPDX-License-Identifier: Apache-2.0

package main

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"mllb/internal/argv"
	"mllb/internal/namedfile"
)

// Where an administrator keeps the configuration, and profiles that replace those
// built in. Tests have others.
var (
	defaultConfig = "/etc/mllb/mllbd.yaml"
	profileDir    = "/etc/mllb/profiles"
)

//go:embed profiles/*.yaml
var builtinProfiles embed.FS

// configuration gives flags the values that files have for them: first the one of
// --config, then that of --profile. It is a kong.Resolver.
type configuration struct {
	layers []map[string]setting // by flag
	from   map[string]string    // by flag: the file and line that its value is from
	read   bool
	err    error
}

// Validate implements kong.Resolver.
func (*configuration) Validate(*kong.Application) error { return nil }

// Resolve implements kong.Resolver. It is asked for each flag that is not on the
// command line, and by its first call reads the files; what is wrong with them is
// kept in err, since kong would put it down to that flag.
func (c *configuration) Resolve(ctx *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if !c.read {
		c.read = true
		c.err = c.load(ctx)
	}
	if slices.ContainsFunc(flag.Tag.Envs, isSet) {
		return nil, nil
	}
	for _, layer := range c.layers {
		if s, ok := layer[flag.Name]; ok {
			c.from[flag.Name] = s.from
			return s.value, nil
		}
	}
	return nil, nil
}

func isSet(variable string) bool {
	_, ok := os.LookupEnv(variable)
	return ok
}

// load reads the files that the command line, the environment and each other name.
func (c *configuration) load(ctx *kong.Context) error {
	c.from = make(map[string]string)
	flags := flagsOf(ctx.Selected())
	if flags["config"] == nil {
		return nil // a command that takes none
	}
	known := flagsOf(commandOf(ctx, "run"))
	delete(known, "config")
	path, _ := ctx.FlagValue(flags["config"]).(string)
	named := path != ""
	if !named {
		path = defaultConfig
	}
	config, err := readSettings(path, known)
	if !named && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)) {
		err = nil // it is the service's, not everybody's
	}
	if ctx.Selected().Name != "run" || !named && hasCommand(ctx) { // the host's is that of the service
		config = only(config, "state-dir")
	}
	c.layers = append(c.layers, config)
	if err != nil || flags["profile"] == nil {
		return err
	}
	name, _ := ctx.FlagValue(flags["profile"]).(string)
	if name == "" {
		s, ok := config["profile"]
		if !ok {
			return nil
		}
		c.from["profile"] = s.from
		name, _ = s.value.(string)
	}
	delete(known, "profile")
	delete(known, "state-dir") // restore knows no profile
	profile, err := readProfile(name, known)
	if err != nil {
		return err
	}
	c.layers = append(c.layers, profile)
	return nil
}

// flagsOf returns the flags of a command by name, but for --help.
func flagsOf(command *kong.Node) map[string]*kong.Flag {
	flags := make(map[string]*kong.Flag)
	if command == nil {
		return flags
	}
	for _, f := range command.Flags {
		if f.Name != "help" {
			flags[f.Name] = f
		}
	}
	return flags
}

func commandOf(ctx *kong.Context, name string) *kong.Node {
	for _, n := range ctx.Model.Children {
		if n.Name == name {
			return n
		}
	}
	return nil
}

// hasCommand reports whether the command line ends in a CMD.
func hasCommand(ctx *kong.Context) bool {
	return slices.ContainsFunc(ctx.Path, func(p *kong.Path) bool { return p.Positional != nil })
}

func only(settings map[string]setting, key string) map[string]setting {
	if s, ok := settings[key]; ok {
		return map[string]setting{key: s}
	}
	return nil
}

// readProfile reads a profile: one of profileDir, or one built in.
func readProfile(name string, known map[string]*kong.Flag) (map[string]setting, error) {
	if names := profileNames(); !slices.Contains(names, name) {
		return nil, fmt.Errorf("--profile: there is no %q, only %s", name, strings.Join(names, ", "))
	}
	path := filepath.Join(profileDir, name+".yaml")
	settings, err := readSettings(path, known)
	if !errors.Is(err, fs.ErrNotExist) {
		return settings, err
	}
	file := "profiles/" + name + ".yaml"
	text, err := builtinProfiles.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return parseSettings("built-in profile "+name, text, known)
}

func profileNames() (names []string) {
	builtin, _ := fs.Glob(builtinProfiles, "profiles/*.yaml")
	own, _ := filepath.Glob(filepath.Join(profileDir, "*.yaml"))
	for _, path := range append(builtin, own...) {
		names = append(names, strings.TrimSuffix(filepath.Base(path), ".yaml"))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func readSettings(path string, known map[string]*kong.Flag) (map[string]setting, error) {
	text, err := namedfile.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return parseSettings(path, text, known)
}

var flagInText = regexp.MustCompile(`--([a-z][a-z-]*)`)

// explain says of the flags that an error names where their values are from, if
// that is a file.
func (c *configuration) explain(err error) error {
	if err == nil {
		return nil
	}
	var where []string
	for _, m := range flagInText.FindAllStringSubmatch(err.Error(), -1) {
		if from, ok := c.from[m[1]]; ok {
			if text := m[1] + " is set in " + from; !slices.Contains(where, text) {
				where = append(where, text)
			}
		}
	}
	if where == nil && c.err == nil {
		return argv.See("mllbd", err)
	}
	if where == nil {
		return err
	}
	return fmt.Errorf("%w (%s)", err, strings.Join(where, ", "))
}
