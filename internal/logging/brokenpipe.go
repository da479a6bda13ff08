package logging

import (
	"os"
	"os/signal"
	"syscall"
)

// IgnoreBrokenPipe makes a write to a standard output whose reader has gone an error of that write; else the
// first one ends the process (os/signal). Programs that it starts are not affected.
func IgnoreBrokenPipe() {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) // caught and never read: an ignored signal would be inherited
}
