package suite

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/embedded"
	"github.com/ironpost/ironpost/internal/config"
)

// Program says what a command runs.
type Program struct {
	// Name is that of the command.
	Name string
	// Modules are those that it may run.
	Modules []Module

	start startServer // nil: it joins the bus of a daemon
}

// startServer starts the embedded bus. It is a field of Program, so that a program that joins a
// bus does not link the server.
type startServer func(ctx context.Context, c embedded.Config, log logrus.FieldLogger) (busServer, error)

// Daemon returns the program that runs every module of the table and the bus between them.
func Daemon() Program {
	return Program{Name: "ironpost-daemon", Modules: Modules(), start: func(ctx context.Context, c embedded.Config, log logrus.FieldLogger) (busServer, error) {
		server, err := embedded.Start(ctx, c, log)
		if err != nil {
			return nil, err // not a nil *Server in an interface
		}
		return server, nil
	}}
}

// Single returns the program that runs m alone, on the bus of a daemon. Its name is that of the
// module's service.
func Single(m Module) Program {
	return Program{Name: bus.ServiceName(m.of), Modules: []Module{m}}
}

// single reports whether p is the program of one module.
func (p Program) single() bool { return p.start == nil }

// table returns the modules of the program in the order of their start. The daemon lists those
// that are not part of it, too.
func (p Program) table() []module {
	var out []module
	for _, s := range sections() {
		row := module{section: s}
		if i := slices.IndexFunc(p.Modules, func(m Module) bool { return m.of == s.Name }); i >= 0 {
			row.Module = p.Modules[i]
		} else if p.single() {
			continue
		}
		out = append(out, row)
	}
	return out
}

// flags returns what the program of one module sets in the configuration, which it may share
// with a daemon: its module is on, the others are off, and it joins a bus instead of being one.
func (p Program) flags() []config.Flag {
	if !p.single() {
		return nil
	}
	out := []config.Flag{{Name: p.Name, Key: "bus.mode", Value: BusExternal}, {Name: p.Name, Key: "bus.listen", Value: ""}, {Name: p.Name, Key: "bus.hub", Value: ""}}
	for _, s := range sections() {
		on := "false"
		if s.Name == p.Modules[0].of {
			on = "true"
		}
		out = append(out, config.Flag{Name: p.Name, Key: s.Section + ".enabled", Value: on})
	}
	return out
}

// provisions reports whether the program makes streams and durables and maintains them. One that
// has a key for each module and none for the daemon leaves that to the daemon whose bus it joins.
func (p Program) provisions(c Bus) bool {
	switch {
	case p.single():
		return false
	case c.Mode == BusEmbedded || c.CredentialsFile == "":
		return true
	}
	_, err := os.Stat(c.Credentials(bus.Daemon))
	return err == nil || c.Credentials(bus.Daemon) == c.CredentialsFile
}

// metricsListen returns the address of the metrics server: the program of one module has a port
// of its own, so that several run on one machine with one configuration.
func (p Program) metricsListen(c Metrics) string {
	host, text, err := net.SplitHostPort(c.Listen)
	port, notNumber := strconv.Atoi(text)
	if !p.single() || err != nil || notNumber != nil {
		return c.Listen
	}
	return net.JoinHostPort(host, strconv.Itoa(port+p.Modules[0].metricsOffset))
}

// instance returns the folder whose lock keeps a second instance out, and the PID file. A program
// of one module has its own below data_dir and beside the daemon's, so that both may run.
func (p Program) instance(g General) (dir, pidFile string) {
	if !p.single() {
		return g.DataDir, g.PIDFile
	}
	name := p.Modules[0].of
	dir, pidFile = filepath.Join(g.DataDir, name), g.PIDFile
	if pidFile != "" {
		pidFile = filepath.Join(filepath.Dir(pidFile), name+".pid")
	}
	return dir, pidFile
}
