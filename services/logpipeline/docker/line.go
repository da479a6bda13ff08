package docker

import (
	"strconv"
	"time"
)

// Container is who wrote a line, as the engine says.
type Container struct {
	ID    string // 64 hex digits
	Name  string
	Image string
}

// Line is one line a container wrote.
type Line struct {
	Container Container
	// Time is when the engine received its first part.
	Time time.Time
	// Position is stable and unique: the same line read again has the same; another
	// line never. It begins with Prefix of its container.
	Position string
	// Text is the line without its newline. It is the caller's to keep.
	Text []byte
	// Truncated says that the line was longer than allowed.
	Truncated bool

	stream string
	mark   Mark // of the stream, after this line
}

// Prefix is how the positions of all lines of a container begin, and of no other.
func Prefix(id string) string { return "docker." + id + "." }

func position(id, stream string, m Mark) string {
	b := append([]byte(Prefix(id)), stream...)
	b = strconv.AppendInt(append(b, '.'), m.Time, 16)
	b = strconv.AppendInt(append(b, '.'), int64(m.Count), 10)
	return string(strconv.AppendInt(append(b, '.'), int64(m.Behind), 10))
}
