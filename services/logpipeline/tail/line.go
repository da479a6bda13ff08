package tail

// Line is one line of one file.
type Line struct {
	// Source is "file:" and the path as configured or matched.
	Source string
	// Path is that path alone. A line of a rotated file carries the path it was
	// written under.
	Path string
	// File is the identity that Position is built from.
	File FileID
	// Offset is the byte at which the line begins, Next the first byte after what
	// was consumed with it.
	Offset, Next int64
	// Position is stable and unique: the same line read again, after any rotation or
	// restart, has the same Position, and no other line has it. It holds letters,
	// digits, '-' and '.', at most 128 of them.
	Position string
	// Text is the line without its end, in UTF-8 if the file is in UTF-16, without a byte order mark before it and
	// without zero bytes. It may hold any other byte. It is valid until Done.
	Text []byte
	// SystemOwned says that only root or a system account can have written it: one
	// of them owns the file, and neither its group nor others may write it.
	SystemOwned bool
	// Backlog says that the line was in the file when this Tailer first opened it, unless the file was created
	// since New: such a line may have been written any time ago.
	Backlog bool
	// Truncated says that the line was longer than Config.MaxLine.
	Truncated bool
}

// FileID identifies a file among all that have been on this machine.
type FileID struct {
	Dev   uint64 `json:"dev"`
	Inode uint64 `json:"inode"`
	// Birth is the creation time in nanoseconds since 1970, or 0 where the
	// filesystem does not record it.
	Birth int64 `json:"birth"`
}
