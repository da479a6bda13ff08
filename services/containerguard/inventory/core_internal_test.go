package inventory

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/docker"
)

func TestConnectEventsOfOneContainerAreBounded(t *testing.T) {
	t.Parallel()
	c, id, began := NewCore(), strings.Repeat("a", 64), time.Now()
	for i := range 10_000 {
		c.Apply(docker.Event{Time: began.Add(time.Duration(i)), Kind: "network", Action: "connect", Container: id, NetworkID: fmt.Sprint("n", i)})
	}
	require.Len(t, c.records[id].connects, maxConnects)
	require.Contains(t, c.records[id].connects, "n9999", "the oldest are forgotten")
}
