//go:build !linux

package testenv

import (
	"errors"
	"os"
	"os/exec"
	"testing"
)

var errNotLinux = errors.New("a private dockerd needs Linux")

var terminate = os.Kill

type daemon struct {
	cmd  *exec.Cmd
	done chan struct{}
}

func rootOnLinux() error { return errNotLinux }

func startDaemon(*os.File, string, []string) (*daemon, error) { return nil, errNotLinux }

func newNetNS() (*os.File, error) { return nil, errNotLinux }

func inThread(string, func() error) error { return errNotLinux }

func enterNamespace(*os.File) error { return errNotLinux }

func alive(string) bool { return false }

func (d *Docker) destroy(testing.TB) {}
