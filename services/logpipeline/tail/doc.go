// Package tail follows log files and hands out their lines.
//
// It survives what happens to log files: rotation by rename, by copy and
// truncate, by delete and create, by a swapped link, while it runs and while it
// is down. Every line has a Position that is the same each time that line is read,
// so that what is derived from it is derived once.
//
// Reading is pull: a caller that does not call [Tailer.Read] makes the files
// wait. One goroutine at a time uses a Tailer; only [Tailer.Stats] may be called
// from others.
package tail
