package suite_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
)

// Each test here changes a key and sees the daemon behave differently. Those of the
// external bus are in external_test.go, those of a module with the module, and the
// rest of [general] and [bus] is changed by install for every test.

func TestStoreDir(t *testing.T) {
	t.Parallel()
	i := install(t, allOff)
	i.replace("[bus]\n", fmt.Sprintf("[bus]\nstore_dir = %q\n", i.dir+"/streams"))
	i.start()
	require.DirExists(t, i.dir+"/streams/jetstream")
	require.NoDirExists(t, i.dir+"/data/bus")
	require.Zero(t, i.stop())
}

func TestMaxStoreBytesAreSharedByTheStreams(t *testing.T) {
	t.Parallel()
	for keys, most := range map[string]string{"": "1.610612736e+09", "max_store_bytes = 67108864\n": "2.5165824e+07"} {
		i := install(t, allOff)
		i.replace("[bus]\n", "[bus]\n"+keys)
		i.start()
		require.Eventually(t, func() bool {
			_, body := i.get("/metrics")
			return strings.Contains(body, `ironpost_bus_stream_max_bytes{stream="IRONPOST_ALERTS"} `+most+"\n")
		}, patience, patience/1000)
		require.Zero(t, i.stop())
	}
}

// retention_days is how long alerts and actions stay, whichever module wrote them.
func TestRetentionDaysSetTheStreamsMaxAge(t *testing.T) {
	t.Parallel()
	theirs := foreignServer(t, stock)
	i := onExternalBus(t, "", theirs)
	i.write(i.read() + "[log_pipeline.storage]\nretention_days = 3\n")
	i.start()
	js := streams(t, theirs.ClientURL())
	for _, name := range []bus.StreamName{bus.Alerts, bus.Actions} {
		s, err := js.Stream(t.Context(), string(name))
		require.NoError(t, err)
		require.InDelta(t, 72, s.CachedInfo().Config.MaxAge.Hours(), 0, name)
	}
	require.Zero(t, i.stop())
}

func TestObserverKeyOpensTheObserverPort(t *testing.T) {
	t.Parallel()
	for observer, open := range map[bool]bool{true: true, false: false} {
		address := freePort(t)
		i := install(t, allOff)
		i.replace("observer = false", fmt.Sprintf("observer = %v\nobserver_listen = %q", observer, address))
		i.start()
		c, err := net.Dial("tcp", address)
		require.Equal(t, open, err == nil, "observer = %v: %v", observer, err)
		if err == nil {
			require.NoError(t, c.Close())
		}
		require.Zero(t, i.stop())
	}
}

// In a container the port is published by whoever runs it.
func TestObserverPublishedOpensAnotherAddress(t *testing.T) {
	t.Parallel()
	i := install(t, allOff)
	_, port, err := net.SplitHostPort(freePort(t))
	require.NoError(t, err)
	i.replace("observer = false", "observer_listen = \"0.0.0.0:"+port+"\"\nobserver_published = true")
	i.start()
	c, err := net.Dial("tcp", "127.0.0.1:"+port)
	require.NoError(t, err)
	require.NoError(t, c.Close())
	require.Zero(t, i.stop())
}

// With an empty socket or pid_file there is none.
func TestNoSocketAndNoPIDFile(t *testing.T) {
	t.Parallel()
	i := install(t, allOff)
	i.replace(fmt.Sprintf("socket = %q", i.dir+"/bus.sock"), `socket = ""`)
	i.replace(fmt.Sprintf("pid_file = %q", i.dir+"/run/ironpost.pid"), `pid_file = ""`)
	i.start()
	require.NoFileExists(t, i.dir+"/bus.sock")
	require.NoDirExists(t, i.dir+"/run")
	require.Zero(t, i.stop())
}

func TestMetricsOff(t *testing.T) {
	t.Parallel()
	i := install(t, allOff)
	i.replace("[metrics]\n", "[metrics]\nenabled = false\n")
	i.start()
	resp, err := http.Get("http://" + i.metrics + "/healthz")
	if err == nil {
		_ = resp.Body.Close() // the port may be another program's by now
	}
	require.Error(t, err)
	require.Zero(t, i.stop())
}

func TestLogLevelAndFormat(t *testing.T) {
	t.Parallel()
	i := install(t, allOff)
	i.replace("[general]\n", "[general]\nlog_level = \"debug\"\n")
	i.start()
	i.await("bus server notice") // logged at debug only
	require.Zero(t, i.stop())

	i = install(t, allOff)
	i.replace("[general]\n", "[general]\nlog_format = \"pretty\"\n")
	code := make(chan int, 1)
	go func() { code <- i.process().Run(t.Context()) }()
	require.Eventually(t, func() bool { return strings.Contains(i.stderr.String(), " ready ") }, patience, patience/1000)
	require.Empty(t, i.entries(), "no line is JSON")
	i.signals <- os.Interrupt
	require.Zero(t, <-code)
	require.NotContains(t, i.stderr.String(), "bus server notice")
}

// At the default of 30 s there would be two. Only debug has every check: info has what changed.
func TestHealthInterval(t *testing.T) {
	t.Parallel()
	i := install(t, allOff+"[health]\ninterval_secs = 1\n")
	i.replace("[general]\n", "[general]\nlog_level = \"debug\"\n")
	i.start()
	require.Eventually(t, func() bool {
		reports := 0
		for _, e := range i.entries() {
			if e["msg"] == "health" {
				reports++
			}
		}
		return reports >= 3
	}, patience, patience/1000)
	atInfo := 0
	for _, e := range i.entries() {
		if e["msg"] == "health" && e["level"] == "info" {
			atInfo++
		}
	}
	require.Equal(t, 1, atInfo, "nothing changed since the start")
	require.Zero(t, i.stop())
}
