// Command ironpost is the operator's view of Ironpost: what is running, what was
// seen, what was done about it, and whether the record of that still holds.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	os.Exit(interruptible())
}

// interruptible runs the command until it is done or the user has enough.
func interruptible() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, os.Args[1:], os.Stdout, os.Stderr)
}
