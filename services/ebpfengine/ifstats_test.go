package ebpfengine

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bpf/traffic"
	"github.com/ironpost/ironpost/services/ebpfengine/attach"
)

// With interface = "auto", links that are made again and again under new names are forgotten, but their counts stay in the sums.
func TestForgottenInterfacesStayInTheSums(t *testing.T) {
	t.Parallel()
	table := newInterfaceTable([]string{"auto"})
	const links = 3 * maxInterfaces
	for n := range links {
		w := &watcher{link: &attach.Link{}}
		table.setWatcher(fmt.Sprintf("ppp%d", n), w)
		w.stats.addWindow(&traffic.Window{Totals: traffic.Counters{Packets: 10}})
		table.setWatcher(fmt.Sprintf("ppp%d", n), nil)
	}
	all := table.all()
	require.Len(t, all, maxInterfaces)
	n := snapshot{interfaces: all, forgotten: table.sums()}
	require.EqualValues(t, 10*links, n.counters()["packets"])
}

func TestWatchedInterfacesAreNotForgotten(t *testing.T) {
	t.Parallel()
	table := newInterfaceTable(nil)
	for n := range maxInterfaces + 5 {
		table.setWatcher(fmt.Sprintf("eth%d", n), &watcher{link: &attach.Link{}})
	}
	require.Len(t, table.watchers(), maxInterfaces+5)
}
