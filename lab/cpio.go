// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bufio"
	"fmt"
	"io"
	"math"
)

// Mode bits of a cpio header, as in stat(2).
const (
	modeDir     = 0o040000
	modeRegular = 0o100000
	modeLink    = 0o120000
)

// cpioWriter writes the "newc" archive that the kernel unpacks as its first
// root (Documentation/driver-api/early-userspace/buffer-format.rst). Errors
// stick and are returned by close.
type cpioWriter struct {
	w     *bufio.Writer
	inode uint32
	off   int64
	err   error
}

func newCPIO(w io.Writer) *cpioWriter { return &cpioWriter{w: bufio.NewWriterSize(w, 1<<20)} }

func (c *cpioWriter) dir(name string)          { c.header(name, modeDir|0o755, 0) }
func (c *cpioWriter) link(name, target string) { c.bytes(name, modeLink|0o777, []byte(target)) }

func (c *cpioWriter) bytes(name string, mode uint32, data []byte) {
	c.header(name, mode, int64(len(data)))
	c.write(data)
	c.pad()
}

// file copies exactly size bytes of r; fewer are an error, for the header is
// already written.
func (c *cpioWriter) file(name string, perm uint32, size int64, r io.Reader) {
	c.header(name, modeRegular|perm, size)
	if c.err == nil {
		n, err := io.CopyN(c.w, r, size)
		if c.off += n; err != nil {
			c.err = fmt.Errorf("archive %s: %d of %d bytes: %w", name, n, size, err)
		}
	}
	c.pad()
}

// close writes the end mark.
func (c *cpioWriter) close() error {
	c.inode = 0
	c.header("TRAILER!!!", 0, 0)
	if c.err != nil {
		return c.err
	}
	return c.w.Flush()
}

func (c *cpioWriter) header(name string, mode uint32, size int64) {
	if size > math.MaxUint32 && c.err == nil {
		c.err = fmt.Errorf("archive %s: %d bytes do not fit a cpio header", name, size)
	}
	links := 1
	if mode&modeDir != 0 && mode&modeRegular == 0 {
		links = 2
	}
	inode := c.inode
	c.inode++
	c.write(fmt.Appendf(nil, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
		inode, mode, 0, 0, links, 0, uint32(size), 0, 0, 0, 0, len(name)+1, 0, name))
	c.pad()
}

func (c *cpioWriter) write(b []byte) {
	if c.err == nil {
		_, c.err = c.w.Write(b)
		c.off += int64(len(b))
	}
}

// pad fills up to a multiple of four, as headers and data begin on one.
func (c *cpioWriter) pad() { c.write(make([]byte, -c.off&3)) }
