package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/cmd/internal/suite"
	"github.com/ironpost/ironpost/internal/config"
)

// systemSocket is where a daemon that root started listens.
const systemSocket = "/run/ironpost/bus.sock"

// tlsFlags are PEM files.
type tlsFlags struct{ ca, cert, key string }

// connect reaches the daemon, by --url, through its socket, or over the external bus it uses. Its errors have the exit code of
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
	places, err := a.places()
	if err != nil {
		return nil, err
	}
	if places.external != nil {
		return connectExternal(ctx, places.external)
	}
	paths := places.sockets
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

// places is where a daemon may be found: behind one of sockets, the likeliest first, or on an external bus.
type places struct {
	sockets  []string
	external *suite.Config
}

// places returns what --socket or the configuration says, and, where nobody said, the sockets of this user's own daemon and
// of the system's.
func (a *app) places() (places, error) {
	if a.socket != "" {
		return places{sockets: []string{a.socket}}, nil
	}
	cfg, loaded, err := a.load()
	if err != nil && a.configPath() != "" {
		return places{}, a.unreadable(err)
	}
	if err != nil { // the default file; the daemon may run all the same
		a.tell("warning: the default configuration is not used: " + words(err))
		return places{sockets: defaultSockets(suite.DefaultConfig().Bus.Socket)}, nil
	}
	if cfg.Bus.Mode == suite.BusExternal {
		return places{external: &cfg}, nil
	}
	if v, ok := loaded.Get("bus.socket"); ok && v.Origin.Kind == config.FromDefault {
		return places{sockets: defaultSockets(cfg.Bus.Socket)}, nil
	}
	if cfg.Bus.Socket == "" {
		return places{}, nil
	}
	return places{sockets: []string{cfg.Bus.Socket}}, nil
}

// connectExternal goes where the daemon of cfg goes, with the same key.
func connectExternal(ctx context.Context, cfg *suite.Config) (*bus.Conn, error) {
	secure, err := cfg.Bus.ClientTLS()
	if err == nil && cfg.Bus.CredentialsFile != "" {
		err = readable(cfg.Bus.CredentialsFile)
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("%w: try sudo", err)
	}
	if err != nil {
		return nil, err
	}
	conn, err := bus.Connect(ctx, bus.Options{
		Module: bus.Operator, Host: cfg.General.Host, URL: cfg.Bus.URL, CredentialsFile: cfg.Bus.CredentialsFile, TLS: secure,
	})
	if err != nil {
		return nil, &codedError{code: exitUnreachable, err: fmt.Errorf("no connection to the external bus that bus.url names (%w)", err)}
	}
	return conn, nil
}

func readable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("bus.credentials_file: %w", err)
	}
	return f.Close()
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

// ask is with for work that must be done within --timeout.
func (a *app) ask(ctx context.Context, work func(context.Context, *bus.Conn) error) error {
	return a.askFor(ctx, a.timeout, work)
}

func (a *app) askFor(ctx context.Context, timeout time.Duration, work func(context.Context, *bus.Conn) error) error {
	return a.with(ctx, func(ctx context.Context, conn *bus.Conn) error {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		return work(ctx, conn)
	})
}

// lost gives the loss of the daemon in the middle of work its exit code.
func lost(err error) error {
	if errors.Is(err, bus.ErrUnreachable) || errors.Is(err, bus.ErrDaemonRestarted) || errors.Is(err, context.DeadlineExceeded) {
		return &codedError{code: exitUnreachable, err: fmt.Errorf("the daemon does not answer: %w", err)}
	}
	return err
}
