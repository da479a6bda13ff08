package ebpfengine

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/ebpfengine/attach"
)

// With interface = "auto", links that are made again and again under new names are forgotten, but their counts stay in the sums.
func TestForgottenInterfacesStayInTheSums(t *testing.T) {
	t.Parallel()
	table := newInterfaceTable([]string{"auto"})
	const links = 3 * maxInterfaces
	for n := range links {
		name := fmt.Sprintf("ppp%d", n)
		table.setWatched(&watcher{on: attach.Interface{Name: name}, link: &attach.Link{}})
		table.update(name, func(i *interfaceState) { i.totals.Packets += 10 })
		table.setUnwatched(name)
	}
	states, forgotten := table.all()
	require.Len(t, states, maxInterfaces)
	n := snapshot{interfaces: states, forgotten: forgotten}
	require.EqualValues(t, 10*links, n.counters()["packets"])
}

func TestWatchedInterfacesAreNotForgotten(t *testing.T) {
	t.Parallel()
	table := newInterfaceTable(nil)
	for n := range maxInterfaces + 5 {
		table.setWatched(&watcher{on: attach.Interface{Name: fmt.Sprintf("eth%d", n)}, link: &attach.Link{}})
	}
	require.Len(t, table.watching(), maxInterfaces+5)
}
