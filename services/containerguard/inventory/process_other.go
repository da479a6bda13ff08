//go:build !linux

package inventory

import (
	"errors"
	"time"
)

type process struct {
	container string
	started   time.Time
}

func readProcess(int) (process, error) {
	return process{}, errors.New("process ids of containers need Linux")
}
