package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/credential"
)

// hostFlags say which keys a host gets.
type hostFlags struct {
	modules      []string
	edge, daemon bool
}

func (a *app) busAddHostCommand() *cobra.Command {
	var f bundleFlags
	var h hostFlags
	cmd := &cobra.Command{
		Use:   "add-host <name>",
		Short: "make the bundle of a host",
		Long: `Makes a folder with what the modules of another host need to join this bus: the
authority's certificate, a client certificate, a key for each module, and a
configuration that names them in /etc/ironpost/bus.

Each key permits what its module does on that host, and nothing else. --daemon
is for a host whose daemon uses an external bus and makes the streams on it.

With --edge the host runs a daemon with a bus of its own, which forwards its
alerts and actions to this one and enforces the blocklist of this one.`,
		Example: `  sudo ironpost bus add-host web-1
  sudo ironpost bus add-host web-1 --module log-pipeline --module ebpf-engine
  sudo ironpost bus add-host branch-1 --edge
  sudo ironpost bus add-host web-1 --replace --out /root/web-1.new`,
		Args: oneArg,
		RunE: func(_ *cobra.Command, args []string) error {
			modules, err := h.keys(a, args[0], f.replace)
			if err != nil {
				return err
			}
			if h.edge {
				f.config = edgeConfig
			}
			return a.busAddHost(args[0], modules, f)
		},
	}
	cmd.Flags().StringArrayVar(&h.modules, "module", nil, "`module` of the host, or operator; may be\nrepeated (default: all modules; with --replace, those\nthat have a key)")
	cmd.Flags().BoolVar(&h.edge, "edge", false, "the host has a daemon that forwards to this one")
	cmd.Flags().BoolVar(&h.daemon, "daemon", false, "also keys for its daemon and its operators, on an\nexternal bus")
	f.add(cmd)
	completeFlag(cmd, "module", hostModules()...)
	return cmd
}

// keys returns for which modules, bus.Operator, bus.Daemon or bus.Edge host gets keys. Without other flags, --replace means those that it has.
func (h *hostFlags) keys(a *app, host string, replace bool) (modules []string, err error) {
	for _, m := range h.modules {
		if !bus.IsModule(m) && m != bus.Operator {
			return nil, usageError(fmt.Errorf("--module %q: want %s", m, strings.Join(hostModules(), ", ")))
		}
	}
	cfg, _, err := a.loadConfig()
	if err != nil {
		return nil, configError(err)
	}
	modules = h.modules
	if replace && len(modules) == 0 && !h.edge && !h.daemon {
		if modules, err = h.present(keyStore(cfg), host); err != nil {
			return nil, err
		}
	}
	switch {
	case h.edge && len(h.modules) > 0:
		return nil, usageError(errors.New("--edge has one key for all modules of the host: leave out --module"))
	case h.edge && h.daemon:
		return nil, usageError(errors.New("--edge is for a daemon with a bus of its own, --daemon for one without: give one of them"))
	case h.edge && cfg.General.Host == host:
		return nil, usageError(fmt.Errorf("%s is this daemon's own host (general.host): its edge could speak for this daemon; give the edge another name", host))
	case h.daemon && cfg.Bus.Listen != "":
		return nil, usageError(errors.New("--daemon is for an external bus, but bus.listen is set: this daemon is the bus"))
	case h.edge:
		return []string{bus.Edge}, nil
	case len(modules) == 0:
		modules = bus.ModuleNames()
	}
	if h.daemon {
		modules = append(modules, bus.Daemon, bus.Operator)
	}
	return modules, nil
}

// hostModules are the values of --module.
func hostModules() []string { return append(bus.ModuleNames(), bus.Operator) }

// present returns the keys that host has; plug-ins have bundles of their own. It sets h.edge for that of an edge.
func (h *hostFlags) present(store credential.Store, host string) ([]string, error) {
	modules, err := store.KeysOf(host)
	if err != nil {
		return nil, keyError(err)
	}
	modules = slices.DeleteFunc(modules, bus.IsPluginName)
	if len(modules) == 0 {
		return nil, usageError(fmt.Errorf("--replace: %s has no keys yet: leave it out", host))
	}
	h.edge = slices.Contains(modules, bus.Edge)
	return modules, nil
}

func (a *app) busAddHost(host string, modules []string, f bundleFlags) error {
	return a.makeBundle(host, host, f, func(s credential.Store, dir string) error {
		return s.AddHost(host, modules, dir, f.replace, time.Now())
	})
}
