package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/cmd/internal/suite"
	"github.com/ironpost/ironpost/internal/config"
)

// systemSocket is where a daemon started by root listens.
const systemSocket = "/run/ironpost/bus.sock"

// tlsFlags are PEM files.
type tlsFlags struct{ ca, cert, key string }

// withConn connects, runs work and closes the connection. A daemon that cannot
// be reached, before or during the work, gives exitUnreachable, a cluster without a
// leader exitDegraded.
func (a *app) withConn(ctx context.Context, work func(context.Context, *bus.Conn) error) error {
	conn, err := a.connect(ctx)
	if err != nil {
		return err
	}
	leaders := conn.CheckLeaders(ctx) // before: later there may be one, for which work did not wait
	err = work(ctx, conn)
	if err != nil && leaders == nil {
		leaders = conn.CheckLeaders(ctx)
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.timeout)
	defer cancel()
	_ = conn.Close(closing) // all answers were read
	var coded *codedError
	if err != nil && leaders != nil && !errors.As(err, &coded) {
		return &codedError{code: exitDegraded, err: leaders}
	}
	if errors.Is(err, bus.ErrUnreachable) || errors.Is(err, bus.ErrDaemonRestarted) || errors.Is(err, context.DeadlineExceeded) {
		return &codedError{code: exitUnreachable, err: fmt.Errorf("the daemon does not answer: %w", err)}
	}
	return err
}

// withTimeout is withConn for work that must end within timeout.
func (a *app) withTimeout(ctx context.Context, timeout time.Duration, work func(context.Context, *bus.Conn) error) error {
	return a.withConn(ctx, func(ctx context.Context, conn *bus.Conn) error {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		return work(ctx, conn)
	})
}

// connect reaches the daemon by --url, through its socket, or over the external
// bus that it uses itself.
func (a *app) connect(ctx context.Context) (*bus.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	if a.url != "" {
		return a.connectURL(ctx)
	}
	if a.key != "" || a.tls != (tlsFlags{}) {
		return nil, usageError(errors.New("--key, --tls-ca, --tls-cert and --tls-key need --url"))
	}
	external, sockets, err := a.daemonAddress()
	if err != nil {
		return nil, err
	}
	if external != nil {
		return connectExternal(ctx, external)
	}
	for i, path := range sockets {
		conn, err := bus.DialSocket(ctx, path)
		if err == nil {
			return conn, nil
		}
		if i == len(sockets)-1 || !errors.Is(err, fs.ErrNotExist) {
			return nil, socketError(path, err)
		}
	}
	return nil, usageError(errors.New("bus.socket is empty, so the daemon has no socket: use --url"))
}

// daemonAddress returns the configuration if it names an external bus, else the
// sockets to try: that of --socket or of the configuration; without either the
// one of this user's own daemon, then that of the system.
func (a *app) daemonAddress() (external *suite.Config, sockets []string, err error) {
	if a.socket != "" {
		return nil, []string{a.socket}, nil
	}
	cfg, loaded, err := a.loadConfig()
	switch {
	case errors.Is(err, fs.ErrNotExist) && a.config != "": // a slip of the pen
		return nil, nil, configError(err)
	case err != nil: // the daemon may run all the same, with what it read before
		path := cmp.Or(a.configPath(), suite.DefaultPath)
		a.notef("warning: ignoring the configuration %s: %s", clean(path), errorText(err))
		if socket := cmp.Or(os.Getenv("IRONPOST_BUS_SOCKET"), socketInBrokenFile(path)); socket != "" {
			return nil, []string{socket}, nil
		}
		return nil, defaultSockets(suite.DefaultConfig().Bus.Socket), nil
	case cfg.Bus.Mode == suite.BusExternal:
		return &cfg, nil, nil
	}
	if v, ok := loaded.Get("bus.socket"); ok && v.Origin.Kind == config.FromDefault {
		return nil, defaultSockets(cfg.Bus.Socket), nil
	}
	if cfg.Bus.Socket == "" {
		return nil, nil, nil
	}
	return nil, []string{cfg.Bus.Socket}, nil
}

// socketInBrokenFile returns bus.socket of a file that is no valid configuration, "" if it does not say.
func socketInBrokenFile(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	section := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = line
		}
		name, value, _ := strings.Cut(line, "=")
		if section == "[bus]" && strings.TrimSpace(name) == "socket" {
			return strings.Trim(strings.TrimSpace(value), `"'`)
		}
	}
	return ""
}

func defaultSockets(own string) []string {
	if own == systemSocket {
		return []string{own}
	}
	return []string{own, systemSocket}
}

// socketError adds to err what the operator can do about it.
func socketError(path string, err error) error {
	var advice string
	switch {
	case errors.Is(err, fs.ErrNotExist):
		advice = fmt.Sprintf("the daemon is not running: there is no socket %s. Start it with \"systemctl start ironpost\" or \"ironpost-daemon\", or name its socket with --socket", path)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, bus.ErrRefused):
		advice = fmt.Sprintf("the socket %s is for root and the members of the group ironpost. Use sudo, or become a member: \"sudo usermod -aG ironpost $USER\", then log in again", path)
	case errors.Is(err, bus.ErrUnreachable):
		advice = fmt.Sprintf("the daemon is not running: no process listens on %s. Start it with \"systemctl start ironpost\" or \"ironpost-daemon\"", path)
	default:
		advice = fmt.Sprintf("the daemon does not answer on %s; see its log, or raise --timeout", path)
	}
	return &codedError{code: exitUnreachable, err: fmt.Errorf("%s (%w)", advice, err)}
}

// connectExternal connects to the external bus of cfg with the daemon's own key.
func connectExternal(ctx context.Context, cfg *suite.Config) (*bus.Conn, error) {
	secure, err := cfg.Bus.ClientTLS()
	credentials := cfg.Bus.Credentials(bus.Operator)
	if err == nil && credentials != "" {
		err = checkReadable(credentials)
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("%w: try sudo", err)
	}
	if err != nil {
		return nil, err
	}
	conn, err := bus.Connect(ctx, bus.Options{
		Module: bus.Operator, Host: cfg.General.Host, URL: cfg.Bus.URL, CredentialsFile: credentials, TLS: secure,
	})
	if err != nil {
		return nil, &codedError{code: exitUnreachable, err: fmt.Errorf("no connection to the external bus of bus.url (%w)", err)}
	}
	return conn, nil
}

func checkReadable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("bus.credentials_file: %w", err)
	}
	return f.Close()
}

func (a *app) connectURL(ctx context.Context) (*bus.Conn, error) {
	if a.key == "" {
		return nil, usageError(errors.New("--url needs --key, a file with the seed of an operator's nkey"))
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
		err = fmt.Errorf("no connection to %s: is bus.listen set on that machine, and is the public key of --key in the keys folder of its data folder, as operator.<host>.nk? (%w)", a.url, err)
		return nil, &codedError{code: exitUnreachable, err: err}
	}
	return conn, nil
}

// config returns nil if no file is named, so that the system's CAs are used.
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
			return nil, fmt.Errorf("--tls-ca: %s holds no PEM certificate", f.ca)
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
