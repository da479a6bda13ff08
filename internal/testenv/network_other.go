//go:build !linux

package testenv

import (
	"errors"
	"testing"
)

// OwnNetwork runs the tests of m here: only Linux has network namespaces.
func OwnNetwork(m *testing.M) int { return m.Run() }

// Network returns an error: only Linux has network namespaces.
func Network() error { return errors.ErrUnsupported }
