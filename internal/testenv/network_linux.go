package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// networkVar marks the process that has a network of its own.
const networkVar = "IRONPOST_TEST_NETWORK"

// RunInOwnNetwork runs the tests of m in a second process with network and mounts of its
// own, so that they may make interfaces and mount file systems that are gone with it. Where
// that is not allowed they run here, and Network tells them. It returns the exit code.
func RunInOwnNetwork(m *testing.M) int {
	if os.Getenv(networkVar) != "" {
		return m.Run()
	}
	cmd := exec.Command(os.Args[0], os.Args[1:]...) // itself, as long as it takes
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), networkVar+"=own")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET, Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL,
	}
	err := cmd.Start()
	if err != nil {
		return m.Run()
	}
	_ = cmd.Wait() // the code says it
	return cmd.ProcessState.ExitCode()
}

// InOwnNetwork is nil in a process that OwnNetwork gave a network.
func InOwnNetwork() error {
	if os.Getenv(networkVar) != "" {
		return nil
	}
	return fmt.Errorf("a network namespace of its own: %w", os.ErrPermission)
}
