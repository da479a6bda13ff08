// Package docker follows the logs of containers and hands out their lines.
//
// Lines come through the engine's API, so every log driver that can be read works,
// rotation is the engine's affair, and what container a line belongs to is known from
// the engine and never from the text. Parts of long lines are joined.
//
// The engine's log is the buffer: a caller that does not Take makes it wait there. A
// [State] says how far each stream of each container was taken. Its place is the
// engine's time of a line and how many lines of the stream had that time, so a line
// read again has the same Position, and none is skipped. Three things can cost lines:
// a container removed with its log before it was read, which is counted; the engine's
// clock set back by more than half a minute while nobody read; and a line above 16 KiB
// that took longer than that to write while we were restarted, which loses its
// beginning.
//
// The engine may be away at any time: its logs are read on when it is back.
package docker
