// Package docker reads the logs of containers and returns their lines.
//
// Lines come through the Docker API: every log driver that can be read works, Docker does the rotation, and
// the container of a line is known from Docker, never from the text. Parts of long lines are joined.
//
// Docker's log is the buffer: while the caller does not call Next, reading stops. A [State] says how far each
// stream of each container was taken, by Docker's time of a line and how many lines of the stream had that
// time. So a line that is read again has the same Position, and none is skipped. Lines are lost in three
// cases only: a container is removed with its log before it was read, which is counted; Docker's clock is
// set back by more than half a minute while nothing was read; and a line above 16 KiB, which took longer
// than that to write during a restart, loses its beginning.
//
// While Docker is away the source waits, and continues when it is back.
package docker
