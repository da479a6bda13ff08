// Package journal reads the files of systemd-journald, by the format documented in systemd's docs/JOURNAL_FILE_FORMAT.md. It needs no
// program and no library of systemd, and only read access to the folders.
//
//	open.go        opens a file, its header                     header.go
//	pages.go       reads it through a bounded cache
//	array.go       the chain of entry arrays: where entry i is
//	entry.go       an entry and its fields                      decompress.go, lz4.go
//	folders.go     which files there are
//	source.go      follows them: Next, Done, State              streams.go, fill.go, state.go, loss.go
//
// A file is written by another program while it is read, and may be damaged or hostile: every offset is checked against the size of the
// file, arrays must follow each other in rising order, and sizes are bounded. An entry that cannot be read is skipped and counted.
package journal
