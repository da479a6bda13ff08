package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// networkVar marks the process that has its own network namespace.
const networkVar = "IRONPOST_TEST_NETWORK"

// RunInOwnNetwork runs the tests of m in a second process with its own network and mount
// namespaces, so that the interfaces and mounts they make disappear with it. Where that is
// not allowed they run in this process, and InOwnNetwork returns an error. It returns the
// exit code.
func RunInOwnNetwork(m *testing.M) int {
	if os.Getenv(networkVar) != "" {
		return m.Run()
	}
	cmd := exec.Command(os.Args[0], os.Args[1:]...) // this test binary again
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), networkVar+"=own")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET, Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL,
	}
	err := cmd.Start()
	if err != nil {
		return m.Run()
	}
	_ = cmd.Wait() // the exit code has the result
	return cmd.ProcessState.ExitCode()
}

// InOwnNetwork returns nil in a process that RunInOwnNetwork started.
func InOwnNetwork() error {
	if os.Getenv(networkVar) != "" {
		return nil
	}
	return fmt.Errorf("a network namespace of its own: %w", os.ErrPermission)
}
