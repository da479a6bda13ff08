//go:build !linux

package quarantine

import (
	"errors"

	"github.com/ironpost/ironpost/internal/docker"
)

// sever needs the container's network namespace.
func sever(docker.Container) (int, error) {
	return 0, errors.New("network namespaces need Linux")
}

// frozen takes the engine's word.
func frozen(docker.Container) bool { return true }
