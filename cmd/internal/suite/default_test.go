package suite

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDefaultPathsOfAUser(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		environ map[string]string
		want    places
	}{
		"only a home": {
			map[string]string{"HOME": "/home/ann"},
			places{"/home/ann/.local/state/ironpost", "/home/ann/.local/state/ironpost/run/ironpost.pid", "/home/ann/.local/state/ironpost/run/bus.sock"},
		},
		"XDG": {
			map[string]string{"HOME": "/home/ann", "XDG_STATE_HOME": "/s", "XDG_RUNTIME_DIR": "/run/user/7"},
			places{"/s/ironpost", "/run/user/7/ironpost/ironpost.pid", "/run/user/7/ironpost/bus.sock"},
		},
		"relative XDG is ignored": {
			map[string]string{"HOME": "/home/ann", "XDG_STATE_HOME": "s", "XDG_RUNTIME_DIR": "r"},
			places{"/home/ann/.local/state/ironpost", "/home/ann/.local/state/ironpost/run/ironpost.pid", "/home/ann/.local/state/ironpost/run/bus.sock"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := userPlaces(func(name string) string { return c.environ[name] })
			require.Equal(t, c.want, got)
			requireValid(t, defaults(got))
		})
	}
	requireValid(t, defaults(userPlaces(func(string) string { return "" })))
	requireValid(t, DefaultConfig())
}

func requireValid(t *testing.T, c Config) {
	t.Helper()
	c.Derive()
	require.Empty(t, c.Validate())
}

func TestPathsDerivedFromDataDir(t *testing.T) {
	t.Parallel()
	c, _, err := loadAsRoot("", "IRONPOST_GENERAL_DATA_DIR=/srv/ironpost/")
	require.NoError(t, err)
	require.Equal(t, "/srv/ironpost/bus", c.Bus.StoreDir)
	require.Equal(t, "/srv/ironpost/audit", c.Collector.AuditPath)
	require.Equal(t, "/srv/ironpost/vuln-db", c.SBOM.VulnDBPath)
}

func TestHostToken(t *testing.T) {
	t.Parallel()
	cases := map[string]string{
		"web-1": "web-1", "Web.Example.org": "web-example-org", "büro": "b-ro", "": "localhost", "a b*>": "a-b--",
		strings.Repeat("x", 80): strings.Repeat("x", 63),
	}
	for name, want := range cases {
		require.Equal(t, want, hostToken(name))
	}
}

func TestSectionsAreCheckedTogether(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ toml, want string }{
		"listen without TLS":      {"[bus]\nlisten = \":4443\"", "2:10: bus.listen: needs tls_ca, tls_cert and tls_key: other machines connect with certificates only"},
		"external without url":    {"[bus]\nmode = \"external\"", `2:8: bus.mode: "external" needs url, the servers of the external bus`},
		"host with a port":        {"[metrics]\nhosts = [\"prometheus:9464\"]", `2:10: metrics.hosts: element 1: "prometheus:9464" is not a host name, must be as in a URL, without a port`},
		"edge without a bundle":   {"[bus]\nhub = \"tls://hub:4443\"", "2:7: bus.hub: needs hub_bundle, the folder that ironpost bus add-host --edge makes on the hub"},
		"edge without TLS":        {"[bus]\nhub = \"nats://hub:4443\"\nhub_bundle = \"/b\"", "2:7: bus.hub: must be tls://host:port"},
		"edge without a bus":      {"[bus]\nmode = \"external\"\nurl = \"tls://n:1\"\nhub = \"tls://hub:4443\"", `4:7: bus.hub: is only for mode = "embedded": an edge has a bus of its own`},
		"replicas when embedded":  {"[bus]\nreplicas = 3", `2:12: bus.replicas: 3 needs mode = "external", an embedded bus is one server`},
		"observer for everyone":   {"[bus]\nobserver_listen = \"0.0.0.0:4222\"", `2:19: bus.observer_listen: "0.0.0.0:4222" is reachable from other machines, must be a loopback address such as 127.0.0.1:4222; in a container whose port is published on the host's loopback address, set observer_published`},
		"one address twice":       {"[metrics]\nlisten = \"127.0.0.1:4222\"", `2:10: metrics.listen: "127.0.0.1:4222" is also bus.observer_listen, must be an address of its own`},
		"relative data_dir":       {"[general]\ndata_dir = \"data\"", `2:12: general.data_dir: "data" is a relative path, must be absolute`},
		"host of two tokens":      {"[general]\nhost = \"a.b\"", `2:8: general.host: "a.b" is not a valid name on the bus, must be 1 to 63 of a-z, 0-9 and -`},
		"a batch too large":       {"[log_pipeline]\nbatch_size = 10000\nmax_line_bytes = 1048576", "2:14: log_pipeline.batch_size: 10000 lines of max_line_bytes 1048576 are more than the 268435456 bytes a batch may hold in memory"},
		"file without paths":      {"[log_pipeline]\nwatch_paths = []", "2:15: log_pipeline.watch_paths: must not be empty while sources holds file or auto"},
		"key without certificate": {"[bus]\ntls_key = \"/k\"", "2:11: bus.tls_key: needs tls_cert"},
		"socket too long":         {"[bus]\nsocket = \"/" + strings.Repeat("s", 99) + `"`, "is too long for a unix socket, must be at most 99 bytes"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := loadAsRoot(write(t, c.toml))
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "\n")
		})
	}
}

func TestDisabledModuleIsNotValidated(t *testing.T) {
	t.Parallel()
	for section, key := range map[string]string{"ebpf": `xdp_mode = "x"`, "container": "poll_interval_secs = 0", "sbom": "scan_dirs = []", "log_pipeline": "batch_size = 0"} {
		path := write(t, "["+section+"]\nenabled = false\n"+key)
		_, _, err := loadAsRoot(path)
		require.NoError(t, err, section)
		path = write(t, "["+section+"]\nenabled = true\n"+key)
		_, _, err = loadAsRoot(path)
		require.ErrorContains(t, err, path+":3:")
	}
}

func TestProbablyUnintendedSettingsAreWarnings(t *testing.T) {
	t.Parallel()
	path := write(t, "[sbom]\nenabled = true\n[log_pipeline]\nsyslog_bind = \":514\"\n[log_pipeline.storage]\npostgres_url = \"postgres://127.0.0.1/x\"\n[bus]\nhub = \"tls://hub:4443\"\nhub_bundle = \"/b\"")
	_, loaded, err := loadAsRoot(path, "IRONPOST_METRICS_LISTEN=:9464", "IRONPOST_GENRAL_HOST=x", "IRONPOST_DATA=/d", "IRONPOST_TEST_REQUIRE=all")
	require.NoError(t, err)
	require.ElementsMatch(t, []string{
		"IRONPOST_GENRAL_HOST: no key has this variable, it is ignored, did you mean IRONPOST_GENERAL_HOST?",
		path + ":4:15: log_pipeline.syslog_bind: is reachable from other machines, and syslog does not authenticate its senders",
		path + ":6:16: log_pipeline.storage.postgres_url: only lines are stored in it: this daemon is an edge, whose alerts and actions the hub stores",
		"IRONPOST_METRICS_LISTEN: metrics.listen: is reachable from other machines, and needs no key",
	}, loaded.Warnings)
}

// A bus on another machine without encryption is a warning, as a database is; within this machine, and with certificates, it is none.
func TestAPlainBusOfAnotherMachineIsAWarning(t *testing.T) {
	t.Parallel()
	for bus, warned := range map[string]bool{
		`url = "nats://10.1.2.3:4222"`: true, `url = "tls://hub:4443, nats://hub:4222"`: true,
		`url = "nats://127.0.0.1:4222,nats://localhost:4222,nats://[::1]:4222"`: false, `url = "tls://10.1.2.3:4222"`: false,
		"url = \"nats://10.1.2.3:4222\"\ntls_ca = \"/ca.pem\"": false,
	} {
		_, loaded, err := loadAsRoot(write(t, "[bus]\nmode = \"external\"\n"+bus))
		require.NoError(t, err)
		require.Equal(t, warned, strings.Contains(strings.Join(loaded.Warnings, "\n"), "bus.url: is not encrypted"), bus)
	}
}

// The configuration that the packages install is valid and keeps its files where the services may write.
func TestPackagedConfiguration(t *testing.T) {
	t.Parallel()
	cfg, loaded, err := Load(Source{Path: "../../../deploy/packages/ironpost.toml", Named: true})
	require.NoError(t, err)
	require.Empty(t, loaded.Warnings)
	require.Equal(t, "/var/lib/ironpost", cfg.General.DataDir)
	require.Equal(t, "/run/ironpost/bus.sock", cfg.Bus.Socket)
	require.Equal(t, "/run/ironpost/ironpost.pid", cfg.General.PIDFile)
}
