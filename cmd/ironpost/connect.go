package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/cmd/internal/suite"
	"github.com/ironpost/ironpost/internal/config"
)

// systemSocket is where a daemon that root started listens.
const systemSocket = "/run/ironpost/bus.sock"

// tlsFlags are PEM files.
type tlsFlags struct{ ca, cert, key string }

// connect reaches the daemon, by --url or through its socket. Its errors have the exit code of
// a daemon that cannot be reached and say what to do.
func (a *app) connect(ctx context.Context) (*bus.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	if a.url != "" {
		return a.connectURL(ctx)
	}
	if a.key != "" || a.tls != (tlsFlags{}) {
		return nil, usage(errors.New("--key and --tls-… need --url"))
	}
	paths, err := a.sockets()
	if err != nil {
		return nil, err
	}
	for i, path := range paths {
		conn, err := bus.DialSocket(ctx, path)
		if err == nil {
			return conn, nil
		}
		if i == len(paths)-1 || !errors.Is(err, fs.ErrNotExist) {
			return nil, unreachable(path, err)
		}
	}
	return nil, usage(errors.New("bus.socket is empty, so the daemon has no socket: use --url"))
}

// sockets returns where the daemon may listen, the likeliest first: what --socket or the configuration says, and,
// where nobody said, this user's own daemon and then the system's.
func (a *app) sockets() ([]string, error) {
	if a.socket != "" {
		return []string{a.socket}, nil
	}
	cfg, loaded, err := a.load()
	if err != nil && a.configPath() != "" {
		return nil, a.unreadable(err)
	}
	if err != nil { // the default file; the daemon may run all the same
		a.tell("warning: the default configuration is not used: " + words(err))
		return defaultSockets(suite.DefaultConfig().Bus.Socket), nil
	}
	if v, ok := loaded.Get("bus.socket"); ok && v.Origin.Kind == config.FromDefault {
		return defaultSockets(cfg.Bus.Socket), nil
	}
	if cfg.Bus.Socket == "" {
		return nil, nil
	}
	return []string{cfg.Bus.Socket}, nil
}

func defaultSockets(own string) []string {
	if own == systemSocket {
		return []string{own}
	}
	return []string{own, systemSocket}
}

// unreachable says what to do about a socket that could not be used.
func unreachable(path string, err error) error {
	var advice string
	switch {
	case errors.Is(err, fs.ErrNotExist):
		advice = fmt.Sprintf("the daemon is not running: there is no socket %s. Start it with \"systemctl start ironpost\" or \"ironpost-daemon\", or name its socket with --socket", path)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, bus.ErrRefused):
		advice = fmt.Sprintf("the socket %s is for root and the members of the group ironpost. Use sudo, or become a member: \"sudo usermod -aG ironpost $USER\", then log in again", path)
	case errors.Is(err, bus.ErrUnreachable):
		advice = fmt.Sprintf("the daemon is not running: nobody listens on %s. Start it with \"systemctl start ironpost\" or \"ironpost-daemon\"", path)
	default:
		advice = fmt.Sprintf("the daemon does not answer on %s; see its log, or raise --timeout", path)
	}
	return &codedError{code: exitUnreachable, err: fmt.Errorf("%s (%w)", advice, err)}
}

func (a *app) connectURL(ctx context.Context) (*bus.Conn, error) {
	if a.key == "" {
		return nil, usage(errors.New("--url needs --key, a file with the seed of an operator's nkey"))
	}
	if _, err := os.Stat(a.key); err != nil {
		return nil, fmt.Errorf("--key: %w", err)
	}
	secure, err := a.tls.config()
	if err != nil {
		return nil, err
	}
	conn, err := bus.Connect(ctx, bus.Options{Module: bus.Operator, URL: a.url, CredentialsFile: a.key, TLS: secure})
	if err != nil {
		err = fmt.Errorf("no connection to %s: is the daemon's bus.listen set, and is the public half of --key in the keys folder of its data folder, as operator.<host>.nk? (%w)", a.url, err)
		return nil, &codedError{code: exitUnreachable, err: err}
	}
	return conn, nil
}

// config returns nil if no file is named: then the system's authorities count.
func (f tlsFlags) config() (*tls.Config, error) {
	if f == (tlsFlags{}) {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS13}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, fmt.Errorf("--tls-ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--tls-ca: %s holds no certificate in PEM", f.ca)
		}
	}
	if f.cert != "" || f.key != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, fmt.Errorf("--tls-cert and --tls-key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// with connects, does its work and hangs up.
func (a *app) with(ctx context.Context, work func(context.Context, *bus.Conn) error) error {
	conn, err := a.connect(ctx)
	if err != nil {
		return err
	}
	err = work(ctx, conn)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.timeout)
	defer cancel()
	_ = conn.Close(closing) // everything was read, nothing is lost
	return lost(err)
}

// lost gives the loss of the daemon in the middle of work its exit code.
func lost(err error) error {
	if errors.Is(err, bus.ErrUnreachable) || errors.Is(err, bus.ErrDaemonRestarted) || errors.Is(err, context.DeadlineExceeded) {
		return &codedError{code: exitUnreachable, err: fmt.Errorf("the daemon does not answer: %w", err)}
	}
	return err
}
