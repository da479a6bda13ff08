// Package tail follows log files and returns their lines.
//
// In go paths and patterns, out come lines with a Position that is the same each
// time a line is read. It survives rotation by rename, by copy and truncate, by
// delete and create and by a swapped link, while it runs and while it is down: see
// the table of states in rotation.go. What cannot be read is counted as lost.
//
// A caller that does not call [Tailer.Next] makes the files wait. [Tailer.State] and
// [Tailer.Stats] may be called at any time and never wait for a read.
package tail
