// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// account is another user than mllbd's own, as whom CMD runs.
type account struct {
	name, home string
	credential syscall.Credential
}

// account returns the user of --user, or who called sudo(8); nil if that is mllbd's
// own, or CMD is to run as mllbd itself does.
func (c *runCmd) account() (*account, error) {
	if len(c.Command) == 0 {
		return nil, nil
	}
	what, text := "--user", c.User
	if text == "" {
		if what, text = "SUDO_UID", os.Getenv("SUDO_UID"); text == "" || os.Geteuid() != 0 {
			return nil, nil
		}
	}
	if text == strconv.Itoa(os.Geteuid()) { // though nobody has a name for it
		return nil, nil
	}
	u, err := findUser(text)
	if err != nil && what == "SUDO_UID" {
		u, err = callerOfSudo()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	a, err := newAccount(u)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if int(a.credential.Uid) == os.Geteuid() {
		return nil, nil
	}
	return a, nil
}

// findUser finds a user by name or by number.
func findUser(text string) (*user.User, error) {
	u, err := user.Lookup(text)
	if err == nil {
		return u, nil
	}
	if _, number := strconv.ParseUint(text, 10, 32); number == nil {
		u, err = user.LookupId(text)
	}
	if unknown := user.UnknownUserError(""); errors.As(err, &unknown) {
		return nil, fmt.Errorf("there is no user %q in /etc/passwd", text)
	}
	if unknown := user.UnknownUserIdError(0); errors.As(err, &unknown) {
		return nil, fmt.Errorf("there is no user with id %s in /etc/passwd", text)
	}
	return u, err
}

// callerOfSudo is the user whom sudo(8) names, if /etc/passwd has none of that
// number, as where a directory service has the users: of the groups only the
// first is then known.
func callerOfSudo() (*user.User, error) {
	u := &user.User{Uid: os.Getenv("SUDO_UID"), Gid: os.Getenv("SUDO_GID"), Username: os.Getenv("SUDO_USER"), HomeDir: os.Getenv("SUDO_HOME")}
	if u.Gid == "" || u.Username == "" {
		return nil, fmt.Errorf("there is no user with id %s in /etc/passwd, and SUDO_GID or SUDO_USER is not set", u.Uid)
	}
	return u, nil
}

func newAccount(u *user.User) (*account, error) {
	groups, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("groups of %s: %w", u.Username, err)
	}
	a := &account{name: u.Username, home: u.HomeDir}
	ids := make([]uint32, 0, len(groups))
	for _, text := range append([]string{u.Uid, u.Gid}, groups...) {
		id, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("%q is no number of a user or group", text)
		}
		ids = append(ids, uint32(id))
	}
	a.credential = syscall.Credential{Uid: ids[0], Gid: ids[1], Groups: ids[2:]}
	return a, nil
}

// environ is the environment of CMD.
func (a *account) environ() []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return name == "USER" || name == "LOGNAME" || name == "HOME" && a.home != ""
	})
	env = append(env, "USER="+a.name, "LOGNAME="+a.name)
	if a.home != "" {
		env = append(env, "HOME="+a.home)
	}
	return env
}

// dropInheritable empties the inheritable set of this thread, and with it the ambient
// one: setuid(2) leaves CMD no other capability.
func dropInheritable() error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	err := unix.Capget(&hdr, &data[0])
	if err == nil {
		data[0].Inheritable, data[1].Inheritable = 0, 0
		err = unix.Capset(&hdr, &data[0])
	}
	if err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	return nil
}
