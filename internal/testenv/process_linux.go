package testenv

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"github.com/ironpost/ironpost/internal/task"
)

const terminate = syscall.SIGTERM

// daemon is one run of a server. done is closed when it has ended.
type daemon struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// startProcess starts cmd, whose output goes to the end of the file log. Its parent is a thread
// that calls prepare and then lives until the process ends: the kernel sends attr.Pdeathsig when
// that thread dies, which it also does if the tests end without cleaning up.
func startProcess(cmd *exec.Cmd, log string, attr *syscall.SysProcAttr, prepare func() error) (*daemon, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	d := &daemon{cmd: cmd, done: make(chan struct{})}
	d.cmd.Stdout, d.cmd.Stderr, d.cmd.SysProcAttr = out, out, attr
	started := make(chan error, 1)
	task.New(context.Background()).Go(cmd.Path, func(context.Context) error { // waited for through done
		defer close(d.done)
		defer close(started) // if it panics, done tells
		defer func() { _ = out.Close() }()
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := prepare()
		if err == nil {
			err = d.cmd.Start()
		}
		started <- err
		if err == nil {
			_ = d.cmd.Wait()
		}
		return err
	})
	return d, <-started
}
