package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/bus/embedded"
	"github.com/ironpost/ironpost/internal/credential"
	"github.com/ironpost/ironpost/internal/logging"
	"github.com/ironpost/ironpost/internal/sdnotify"
)

// accountFile is the output of "ironpost bus account" beside a server of an external bus.
const accountFile = "ironpost-account.conf"

func (a *app) busProxyCommand() *cobra.Command {
	var listen, server, dir string
	cmd := &cobra.Command{
		Use:   "proxy",
		Short: "check what clients send to a server of an external bus",
		Long: `Runs in front of each server of an external bus, on its machine. Other machines
connect to --listen over TLS, with a certificate and a key; what they send is
checked as on an embedded bus, and forwarded to --server.

Without it the server answers a request to whatever subject the client names,
with its own rights: whoever has a key can delete streams. So let the server
listen on loopback, and have nobody but its administrators log in there. See
docs/topologies.md.

--dir has ca.pem, server.pem and server.key of the daemon's data_dir/pki, and
` + accountFile + `, the output of ironpost bus account. SIGHUP reads
them again, for new connections; the server closes those of a removed key when
it reads the account again.`,
		Example: "  ironpost bus proxy --listen 0.0.0.0:4443",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if listen == "" {
				return usageError(errors.New("--listen is needed: the address for other machines, such as 0.0.0.0:4443"))
			}
			return a.busProxy(cmd.Context(), embedded.ProxyConfig{
				Listen: listen, Server: server, Account: filepath.Join(dir, accountFile),
				TLSCA: filepath.Join(dir, credential.CA), TLSCert: filepath.Join(dir, credential.ServerCert), TLSKey: filepath.Join(dir, credential.ServerKey),
			})
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "", "`address` and port for other machines")
	cmd.Flags().StringVar(&server, "server", "127.0.0.1:4222", "loopback `address` and port of the\nserver")
	cmd.Flags().StringVar(&dir, "dir", "/etc/nats", "`folder` with the certificates and the\naccount")
	return cmd
}

// busProxy serves until ctx ends.
func (a *app) busProxy(ctx context.Context, c embedded.ProxyConfig) error {
	logging.IgnoreBrokenPipe()
	output := logging.NewOutput(a.err)
	defer output.Close(time.Second)
	log, err := logging.New(output, logging.Options{Level: "info", Format: logging.JSON})
	if err != nil {
		return err
	}
	output.ReportTo(log)
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	p, err := embedded.OpenServerProxy(ctx, c, log)
	if err != nil {
		return proxyError(err)
	}
	log.WithFields(logrus.Fields{"listen": p.Addr().String(), "server": c.Server}).Info("checking and forwarding what clients send")
	systemd := sdnotify.New(os.Getenv)
	err = systemd.Ready("checking and forwarding to " + c.Server)
	for err == nil {
		select {
		case <-ctx.Done():
			return errors.Join(systemd.Stopping(), p.Close())
		case <-reload:
			if err := p.Reload(); err != nil {
				log.WithError(err).Error("what cannot be read again stays as it was")
				continue
			}
			log.Info("read the account and the certificates again")
		}
	}
	return errors.Join(err, p.Close())
}

// proxyError adds to err what the operator can do about it.
func proxyError(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: copy it from the daemon's machine, see ironpost bus proxy --help", err)
	case errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0:
		return fmt.Errorf("%w: run it as the owner of the files, or try sudo", err)
	}
	return err
}
