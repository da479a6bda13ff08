// Command ironpost is the operator's command line: it shows the state of the
// modules, the alerts they raised, the actions taken and whether the audit
// trail is intact, and it isolates containers and blocks addresses.
//
// It reads from the bus as an operator and prints tables, or JSON with --json.
// Results go to standard output, notes and errors to standard error; the exit
// codes (exit.go) are the same for every command. Text from events is escaped
// before it reaches a terminal.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := interruptible()
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// interruptible returns a context that ends when the process is asked to stop.
func interruptible() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}
