package main

import (
	"errors"
	"fmt"
	"slices"
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
	return cmd
}

// keys returns for which modules, bus.Operator, bus.Daemon or bus.Edge host gets keys. Without flags, replace means those that it has.
func (h *hostFlags) keys(a *app, host string, replace bool) (modules []string, err error) {
	modules = h.modules
	if replace && len(modules) == 0 && !h.edge && !h.daemon {
		cfg, _, err := a.loadConfig()
		if err != nil {
			return nil, configError(err)
		}
		if modules, err = keyStore(cfg).ModulesOf(host); err != nil {
			return nil, keyError(err)
		}
		if len(modules) == 0 {
			return nil, usageError(fmt.Errorf("%s has no keys to replace: leave out --replace to make some, for all modules or those of --module", host))
		}
		if h.edge = slices.Contains(modules, bus.Edge); h.edge {
			modules = nil
		}
	}
	switch {
	case h.edge && len(modules) > 0:
		return nil, usageError(errors.New("--edge has one key for all modules of the host: leave out --module"))
	case h.edge && h.daemon:
		return nil, usageError(errors.New("--edge is for a daemon with a bus of its own, --daemon for one without: give one of them"))
	case h.edge:
		if cfg, _, err := a.loadConfig(); err == nil && cfg.General.Host == host {
			return nil, usageError(fmt.Errorf("%s is this daemon's own host (general.host): its edge could speak for this daemon; give the edge another name", host))
		}
		return []string{bus.Edge}, nil
	case len(modules) == 0:
		modules = bus.ModuleNames()
	}
	if h.daemon {
		if cfg, _, err := a.loadConfig(); err == nil && cfg.Bus.Listen != "" {
			return nil, usageError(errors.New("--daemon is for an external bus, but bus.listen is set: this daemon is the bus"))
		}
		modules = append(modules, bus.Daemon, bus.Operator)
	}
	return modules, nil
}

func (a *app) busAddHost(host string, modules []string, f bundleFlags) error {
	return a.makeBundle(host, host, f, func(s credential.Store, dir string) error {
		return s.AddHost(host, modules, dir, f.replace, time.Now())
	})
}
