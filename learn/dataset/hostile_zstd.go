// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"encoding/binary"
	"errors"
)

var errFrame = errors.New("damaged: its zstd frame is not of the size that the page header says")

// checkFrame refuses a zstd payload (RFC 8878, 3.1.1) that is not one frame, or
// may unpack to more than limit: the decoder holds a frame to what it says of
// itself, but would unpack any number of frames, and blocks of a frame that
// says nothing.
func checkFrame(b []byte, limit uint64) error {
	if len(b) < 6 || binary.LittleEndian.Uint32(b) != 0xFD2FB528 {
		return errFrame
	}
	desc := b[4]
	single, checksum := desc>>5&1 == 1, desc>>2&1 == 1
	at := 5 + []int{0, 1, 2, 4}[desc&3]
	if !single {
		at++
	}
	width := []int{0, 2, 4, 8}[desc>>6]
	if width == 0 && single {
		width = 1
	}
	if at+width > len(b) {
		return errFrame
	}
	var raw [8]byte
	copy(raw[:], b[at:at+width])
	contents := binary.LittleEndian.Uint64(raw[:])
	if width == 2 {
		contents += 256
	}
	end, most, ok := walkBlocks(b, at+width)
	if width == 0 { // nothing said: klauspost does so below 256 bytes
		contents, limit = most, max(limit, maxBlock)
	}
	if checksum {
		end += 4
	}
	if !ok || end != len(b) || contents > limit {
		return errFrame
	}
	return nil
}

// maxBlock is what a block can unpack to (RFC 8878, 3.1.1.2.4).
const maxBlock = 128 << 10

// walkBlocks returns where the blocks that begin at b[at] end, and how much
// they unpack to at the most.
func walkBlocks(b []byte, at int) (end int, most uint64, ok bool) {
	for at+3 <= len(b) {
		h := int(b[at]) | int(b[at+1])<<8 | int(b[at+2])<<16
		size := h >> 3
		at += 3
		switch h >> 1 & 3 {
		case 0: // as it is
			at += size
			most += uint64(size)
		case 1: // one byte, repeated
			at++
			most += uint64(size)
		case 2: // compressed
			at += size
			most += maxBlock
		default:
			return 0, 0, false
		}
		if h&1 == 1 {
			return at, most, true
		}
	}
	return 0, 0, false
}
