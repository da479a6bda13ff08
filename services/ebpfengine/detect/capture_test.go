package detect_test

import (
	"testing"

	"github.com/ironpost/ironpost/services/ebpfengine/detect/detecttest"
)

// Real captures: every attack with kind, actor and target, and nothing where there is none.
func TestAttacksOfRealCaptures(t *testing.T) {
	t.Parallel()
	for name, want := range detecttest.Captures() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			detecttest.Require(t, want, play(t, name))
		})
	}
}
