package ebpfengine_test

import (
	"os"
	"testing"

	"github.com/ironpost/ironpost/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.RunInOwnNetwork(m)) }
