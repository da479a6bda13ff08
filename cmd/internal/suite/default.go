package suite

import (
	"fmt"
	"os"
	"path/filepath"
)

// DefaultConfig returns the configuration when nothing is set. Root keeps its files in the system's folders, any other user below
// $XDG_STATE_HOME/ironpost and $XDG_RUNTIME_DIR/ironpost (XDG Base Directory Specification 0.8).
func DefaultConfig() Config {
	if os.Geteuid() == 0 {
		return defaults(rootPlaces())
	}
	return defaults(userPlaces(os.Getenv))
}

// places are the paths that depend on the user of the process.
type places struct {
	data, pidFile, socket string
}

func rootPlaces() places {
	return places{data: "/var/lib/ironpost", pidFile: "/var/run/ironpost/ironpost.pid", socket: "/run/ironpost/bus.sock"}
}

// userPlaces ignores a variable that holds a relative path, as the specification demands.
func userPlaces(getenv func(string) string) places {
	state := getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(state) {
		state = filepath.Join(home(getenv), ".local", "state")
	}
	data := filepath.Join(state, "ironpost")
	run := filepath.Join(data, "run")
	if dir := getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		run = filepath.Join(dir, "ironpost")
	}
	return places{data: data, pidFile: filepath.Join(run, "ironpost.pid"), socket: filepath.Join(run, "bus.sock")}
}

// home falls back to a folder of this user's own below the temporary folder: a service account may have no home.
func home(getenv func(string) string) string {
	if dir := getenv("HOME"); filepath.IsAbs(dir) {
		return dir
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("ironpost-%d", os.Geteuid()))
}

func defaults(at places) Config {
	c := Config{
		General: General{LogLevel: "info", LogFormat: "json", DataDir: at.data, PIDFile: at.pidFile, StrictModes: true},
		Bus: Bus{
			Mode: BusEmbedded, Observer: true, ObserverListen: "127.0.0.1:4222", Socket: at.socket,
			MaxStoreBytes: 4 << 30, Replicas: 1, PacketsInFlight: 1024, AlertsInFlight: 16_384, ActionsInFlight: 256,
		},
		Health:  Health{IntervalSecs: 30},
		Metrics: Metrics{Enabled: true, Listen: "127.0.0.1:9464"},
	}
	for _, m := range sections() {
		m.Default(&c)
	}
	c.LogPipeline.UnixSocket = filepath.Join(filepath.Dir(at.socket), "log.sock")
	return c
}
