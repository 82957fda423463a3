// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Socket is the name, in the state directory of an mllbd, of where it sends states.
const Socket = "view.sock"

// Peer returns the user at the other end of a connection.
func Peer(conn *net.UnixConn) (uid uint32, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	control := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	switch {
	case control != nil:
		return 0, control
	case err != nil:
		return 0, fmt.Errorf("SO_PEERCRED: %w", err)
	}
	return cred.Uid, nil
}

// Dial attaches to the mllbd that has the state directory, if it is root's or our own.
func Dial(stateDir string) (*net.UnixConn, error) {
	dir, err := os.Open(stateDir)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	// However long the path is: a socket's has at most 107 bytes (unix(7)).
	name := fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), Socket)
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("%s in %s: %w", Socket, stateDir, err)
	}
	uid, err := Peer(conn)
	if err == nil && uid != 0 && int(uid) != os.Geteuid() {
		err = fmt.Errorf("%s in %s is of user %d, who is neither root nor you", Socket, stateDir, uid)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// StyleOf is what the environment says of a terminal: NO_COLOR, and a locale or a console
// without UTF-8.
func StyleOf(getenv func(string) string) Style {
	locale := ""
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale = getenv(name); locale != "" {
			break
		}
	}
	locale = strings.ToLower(strings.ReplaceAll(locale, "-", ""))
	return Style{Mono: getenv("NO_COLOR") != "", ASCII: !strings.Contains(locale, "utf8") || getenv("TERM") == "linux"}
}
