package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/embedded"
	"github.com/ironpost/ironpost/cmd/internal/suite"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/atomicfile"
	"github.com/ironpost/ironpost/internal/credential"
)

// defaultBusPort is proposed for bus.listen.
const defaultBusPort = "4443"

// reloadAdvice is how a change of keys comes into force.
const reloadAdvice = "To put it in force: systemctl reload ironpost, or send the daemon SIGHUP."

func (a *app) busCommand() *cobra.Command {
	cmd := group("bus", "make the keys with which other hosts and plug-ins join",
		a.busInitCommand(), a.busAddHostCommand(), a.busAddModuleCommand(), a.busAccountCommand(), a.busListCommand(), a.busProxyCommand(), a.busRenewCommand(), a.busRevokeCommand())
	cmd.Long = `Makes and revokes the keys with which modules on other hosts, or in processes of
their own, join the bus of this machine's daemon. Run it on the daemon's
machine, as the user who owns its data folder, or as root.

Nothing is sent anywhere: add-host and add-module make a folder, the bundle.
Move it to the other host in a way that keeps it secret, and remove it here.`
	return cmd
}

// keyStore returns the keys of the daemon of this configuration.
func keyStore(cfg suite.Config) credential.Store {
	return credential.Store{
		PKI:  filepath.Join(cfg.General.DataDir, "pki"),
		Keys: cfg.Bus.KeysDir(),
	}
}

func (a *app) busInitCommand() *cobra.Command {
	var names []string
	cmd := &cobra.Command{
		Use:   "init",
		Short: "make the authority and the certificate of this daemon",
		Long: `Makes an authority, the daemon's certificate and the folder of keys, below
general.data_dir, and prints what to write into the section [bus].

--name is a host name or an address by which others reach this machine; it may
be given more than once. 127.0.0.1 and localhost are always among them. An
existing authority is kept and the command fails: with a new one every host
would need a new bundle.`,
		Example: "  sudo ironpost bus init --name hub.example.org --name 192.0.2.10",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return a.busInit(names) },
	}
	cmd.Flags().StringArrayVar(&names, "name", nil, "host `name` or address of this machine; may be repeated")
	return cmd
}

func (a *app) busInit(names []string) error {
	cfg, _, err := a.loadConfig()
	if err != nil {
		return configError(err)
	}
	store := keyStore(cfg)
	for _, name := range []string{"localhost", "127.0.0.1"} {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	err = store.Init(names, time.Now())
	if errors.Is(err, credential.ErrExists) {
		return fmt.Errorf("%w: it is kept, because with another every host would need a new bundle; ironpost bus renew makes a new certificate of this daemon", err)
	}
	if err != nil {
		return keyError(err)
	}
	_, err = fmt.Fprintf(a.out, `Made the authority and the certificate for %s.
Write this into the section [bus] of the daemon's configuration and restart it:

listen = "0.0.0.0:%s"
tls_ca = %q
tls_cert = %q
tls_key = %q
`, strings.Join(names, ", "), defaultBusPort,
		filepath.Join(store.PKI, credential.CA), filepath.Join(store.PKI, credential.ServerCert), filepath.Join(store.PKI, credential.ServerKey))
	return err
}

// bundleFlags are those of add-host and add-module.
type bundleFlags struct {
	out     string
	url     string
	replace bool
	config  string // format of the configuration; empty: that of modules that join this bus
}

func (f *bundleFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.out, "out", "", "`folder` to make for the bundle (default: ./NAME)")
	cmd.Flags().StringVar(&f.url, "bus-url", "", "`URL` by which the bundle's owner reaches this bus\n(default: from the certificate and bus.listen)")
	cmd.Flags().BoolVar(&f.replace, "replace", false, "make new keys; the present ones end")
}

// bundle returns the folder to make for name.
func (f *bundleFlags) bundle(name string) (string, error) {
	if f.out == "" {
		return filepath.Abs(name)
	}
	return filepath.Abs(f.out)
}

func (a *app) busAccountCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "account",
		Short: "print the account for the servers of an external bus",
		Long: `Prints users and permissions for the keys of add-host and add-module, in the
configuration language of NATS servers, for

  listen: 127.0.0.1:4222
  accounts { IRONPOST { include "ironpost-account.conf" } }

and for the proxy in front of each server, ironpost bus proxy: permissions do
not cover the reply subjects that a client names, and the proxy does.

Make it again after each change of keys, and have those servers, their proxies
and the daemon read it: nats-server --signal reload, SIGHUP to the proxies,
systemctl reload ironpost.`,
		Example: "  sudo ironpost bus account > /etc/nats/ironpost-account.conf",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, _, err := a.loadConfig()
			if err != nil {
				return configError(err)
			}
			text, err := embedded.Account(cfg.Bus.KeysDir())
			if err != nil {
				return keyError(err)
			}
			_, err = fmt.Fprint(a.out, text)
			return err
		},
	}
}

func (a *app) busAddModuleCommand() *cobra.Command {
	var f bundleFlags
	var publish []string
	var host, trust string
	cmd := &cobra.Command{
		Use:   "add-module <name>",
		Short: "make the bundle of a plug-in",
		Long: `Makes a folder with what a plug-in, a module of another author, needs to publish
alerts about a host: the authority's certificate, a client certificate and a
key. See docs/plug-ins.md.

The alerts of a plug-in are unproven: the container guard reports what it would
do about them, and does nothing. With --trust peer it acts on containers of that
host; a block, which would hold on every host, stays a proposal.`,
		Example: `  sudo ironpost bus add-module door-sensor --publish alerts
  sudo ironpost bus add-module door-sensor --publish alerts --trust peer`,
		Args: oneArg,
		RunE: func(_ *cobra.Command, args []string) error {
			if !slices.Equal(publish, []string{"alerts"}) {
				return usageError(errors.New("--publish alerts is needed: a plug-in publishes nothing else in this version"))
			}
			if trust != "" && trust != string(event.TrustUnproven) && trust != string(event.TrustPeer) {
				return usageError(fmt.Errorf("--trust %q: want %s or %s", trust, event.TrustUnproven, event.TrustPeer))
			}
			return a.busAddModule(args[0], host, event.Trust(trust), f)
		},
	}
	cmd.Flags().StringArrayVar(&publish, "publish", nil, "`stream` that it publishes to: alerts")
	cmd.Flags().StringVar(&host, "host", "", "`host` that its alerts are about (default: this one)")
	cmd.Flags().StringVar(&trust, "trust", "", "unproven or peer (default: unproven; --replace: the\npresent one)")
	f.add(cmd)
	completeFlag(cmd, "publish", "alerts")
	completeFlag(cmd, "trust", string(event.TrustUnproven), string(event.TrustPeer))
	return cmd
}

func (a *app) busAddModule(name, host string, trust event.Trust, f bundleFlags) error {
	cfg, _, err := a.loadConfig()
	if err != nil {
		return configError(err)
	}
	host = cmp.Or(host, cfg.General.Host)
	if f.replace && trust == "" {
		if trust, err = keyStore(cfg).TrustOf(name, host); errors.Is(err, fs.ErrNotExist) {
			return usageError(fmt.Errorf("--replace: %s has no key on %s yet: leave it out", name, host))
		}
		if err != nil {
			return keyError(err)
		}
	}
	trust = cmp.Or(trust, event.TrustUnproven)
	p := bus.Plugin{Name: name, Host: host, Trust: trust, Publish: []bus.StreamName{bus.Alerts}}
	return a.makeBundle(name, host, f, func(s credential.Store, dir string) error { return s.AddPlugin(p, dir, f.replace, time.Now()) })
}

// makeBundle makes the folder with make, adds a configuration and says what to do with it.
func (a *app) makeBundle(name, host string, f bundleFlags, make func(credential.Store, string) error) error {
	cfg, _, err := a.loadConfig()
	if err != nil {
		return configError(err)
	}
	store := keyStore(cfg)
	dir, err := f.bundle(name)
	if err != nil {
		return err
	}
	server := f.url
	if problem := checkBusURL(server, f.config == edgeConfig); server != "" && problem != "" {
		return usageError(fmt.Errorf("--bus-url %q %s", server, problem))
	}
	if server == "" {
		if server, err = busURL(store, cfg.Bus.Listen); err != nil {
			return keyError(err)
		}
	}
	if err := make(store, dir); err != nil {
		return keyError(err)
	}
	text := fmt.Sprintf(cmp.Or(f.config, bundleConfig), host, server)
	if err := atomicfile.WriteFile(filepath.Join(dir, "ironpost.toml"), []byte(text), 0o600); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "Made %s for %s. It holds secrets: move it to that host, as /etc/ironpost/bus, and remove it here.\n%s\n", dir, host, reloadAdvice)
	return err
}

// bundleConfig is the configuration in a bundle.
const bundleConfig = `# Joins the bus of a daemon on another host. The files are expected in /etc/ironpost/bus.
[general]
host = %q

[bus]
mode = "external"
url = %q
credentials_file = "/etc/ironpost/bus"
tls_ca = "/etc/ironpost/bus/ca.pem"
tls_cert = "/etc/ironpost/bus/client.pem"
tls_key = "/etc/ironpost/bus/client.key"
`

// edgeConfig is the configuration in the bundle of an edge.
const edgeConfig = `# Forwards to the bus of a daemon on another host. The files are expected in /etc/ironpost/bus.
[general]
host = %q

[bus]
hub = %q
hub_bundle = "/etc/ironpost/bus"
`

// checkBusURL returns what is wrong with the URL of a bundle: that of several servers for modules, of one for an edge.
func checkBusURL(list string, edge bool) string {
	servers := strings.Split(list, ",")
	if edge && len(servers) > 1 {
		return "must be one server, tls://host:port: an edge has one hub"
	}
	for _, server := range servers {
		u, err := url.Parse(server)
		if err != nil || u.Hostname() == "" || u.Port() == "" || server != "tls://"+u.Host {
			return "must be tls://host:port, several separated by commas"
		}
	}
	return ""
}

// busURL returns the URL of the daemon: the first name of its certificate, with the port that it
// listens on.
func busURL(store credential.Store, listen string) (string, error) {
	names, err := store.ServerNames()
	if err != nil {
		return "", err
	}
	if len(names) == 0 {
		return "", errors.New("the daemon's certificate has no name: ironpost bus renew --name NAME")
	}
	name, port := names[0], defaultBusPort
	for _, n := range names { // those that every machine has last
		if n != "localhost" && n != "127.0.0.1" {
			name = n
			break
		}
	}
	if _, p, err := net.SplitHostPort(listen); err == nil {
		port = p
	}
	return "tls://" + net.JoinHostPort(name, port), nil
}

func (a *app) busRenewCommand() *cobra.Command {
	var names []string
	cmd := &cobra.Command{
		Use:   "renew",
		Short: "make a new certificate of this daemon",
		Long: `Makes a new certificate and key of the daemon, valid for a year, for the names
of the present one or those of --name. The authority and the keys of others
stay.`,
		Example: "  sudo ironpost bus renew",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, _, err := a.loadConfig()
			if err != nil {
				return configError(err)
			}
			if err := keyStore(cfg).Renew(names, time.Now()); err != nil {
				return keyError(err)
			}
			_, err = fmt.Fprintln(a.out, "Made a new certificate.", reloadAdvice)
			return err
		},
	}
	cmd.Flags().StringArrayVar(&names, "name", nil, "host `name` or address of this machine; may be repeated")
	return cmd
}

func (a *app) busRevokeCommand() *cobra.Command {
	var module string
	cmd := &cobra.Command{
		Use:   "revoke <host>",
		Short: "end the keys of a host or a plug-in",
		Long: `Removes the keys of a host, or with --module of one of its modules or plug-ins.
Their connections are closed when the daemon reads its keys again. A client
certificate alone opens nothing.`,
		Example: `  sudo ironpost bus revoke web-1
  sudo ironpost bus revoke web-1 --module door-sensor`,
		Args: oneArg,
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, _, err := a.loadConfig()
			if err != nil {
				return configError(err)
			}
			removed, err := keyStore(cfg).Revoke(args[0], module)
			if err != nil {
				return keyError(err)
			}
			_, err = fmt.Fprintf(a.out, "Removed the keys of %s on %s. %s\n", strings.Join(removed, ", "), args[0], reloadAdvice)
			return err
		},
	}
	cmd.Flags().StringVar(&module, "module", "", "`module` or plug-in; all if it is not given")
	cmd.ValidArgsFunction = a.completeKeys(func(k bus.Key) string { return k.Host })
	complete := a.completeKeys(func(k bus.Key) string { return k.Module })
	if err := cmd.RegisterFlagCompletionFunc("module", complete); err != nil {
		panic(err) // the flag does not exist: a mistake in this program
	}
	return cmd
}

// completeKeys offers what of returns of the keys of this machine's daemon, if the user may read them.
func (a *app) completeKeys(of func(bus.Key) string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		cfg, _, err := a.loadConfig()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		keys, _, _ := bus.ReadKeys(cfg.Bus.KeysDir())
		var names []cobra.Completion
		for _, k := range keys {
			names = append(names, of(k))
		}
		slices.Sort(names)
		return slices.Compact(names), cobra.ShellCompDirectiveNoFileComp
	}
}

// keyError adds to err what the operator can do about it.
func keyError(err error) error {
	switch {
	case errors.Is(err, credential.ErrExists):
		return fmt.Errorf("%w: nothing was changed; --replace makes new keys, --out names another folder", err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: run ironpost bus init first, on the daemon's machine", err)
	case errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0:
		return fmt.Errorf("%w: try sudo", err)
	}
	return err
}
