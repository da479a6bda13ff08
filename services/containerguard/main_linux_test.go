package containerguard_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/ironpost/ironpost/internal/testenv"
)

// TestMain runs the tests in a network namespace of their own: some connect from addresses of the internet.
func TestMain(m *testing.M) {
	if testenv.InOwnNetwork() == nil {
		lo, err := netlink.LinkByName("lo")
		if err == nil {
			err = netlink.LinkSetUp(lo)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "loopback interface:", err)
			os.Exit(1)
		}
	}
	os.Exit(testenv.RunInOwnNetwork(m))
}
