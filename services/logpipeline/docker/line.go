package docker

import (
	"strconv"
	"time"
)

// Container is the container of a line, as Docker names it.
type Container struct {
	ID    string // 64 hex digits
	Name  string
	Image string
}

// Line is one line of a container's log.
type Line struct {
	Container Container
	// Time is when Docker received the first part of the line.
	Time time.Time
	// Position identifies the line: the same line read again has the same one, no other line has it. It
	// begins with PositionPrefix of its container.
	Position string
	// Text is the line without its newline. It belongs to the caller.
	Text []byte
	// Truncated means that the line was longer than allowed.
	Truncated bool

	stream string
	after  StreamPosition // of the stream, after this line
}

// PositionPrefix returns the start of the positions of all lines of a container, and of no other line.
func PositionPrefix(id string) string { return "docker." + id + "." }

func linePosition(id, stream string, p StreamPosition) string {
	b := append([]byte(PositionPrefix(id)), stream...)
	b = strconv.AppendInt(append(b, '.'), p.Time, 16)
	b = strconv.AppendInt(append(b, '.'), int64(p.Count), 10)
	return string(strconv.AppendInt(append(b, '.'), int64(p.Behind), 10))
}
