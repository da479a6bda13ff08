package detect_test

import (
	"testing"

	"github.com/ironpost/ironpost/services/ebpfengine/detect/detecttest"
)

// In real captures every attack is found, with kind, actor and target, and nothing else.
func TestRealCaptures(t *testing.T) {
	t.Parallel()
	for name, want := range detecttest.Captures() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			detecttest.Require(t, want, play(t, name))
		})
	}
}
