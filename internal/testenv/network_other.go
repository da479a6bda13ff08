//go:build !linux

package testenv

import (
	"errors"
	"testing"
)

// RunInOwnNetwork runs the tests of m in this process: only Linux has network namespaces.
func RunInOwnNetwork(m *testing.M) int { return m.Run() }

// InOwnNetwork returns an error: only Linux has network namespaces.
func InOwnNetwork() error { return errors.ErrUnsupported }
