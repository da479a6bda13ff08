package embedded

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"

	"github.com/nats-io/nats-server/v2/conf"
	"github.com/sirupsen/logrus"
)

// ProxyConfig configures a ServerProxy.
type ProxyConfig struct {
	// Listen is where other machines connect. They need a certificate signed by TLSCA and a key of Account.
	Listen  string
	TLSCA   string
	TLSCert string
	TLSKey  string
	// Server is where a NATS server takes clients: a loopback address, because nothing is encrypted on the way, and
	// because a client that connects there is not checked.
	Server string
	// Account is a file with the output of Account, the same that the server includes.
	Account string
}

// ServerProxy is the listener for other machines in front of a server of an external bus. It checks what clients send as
// the listener of an embedded bus does. Its methods may be called from any goroutine.
type ServerProxy struct {
	config ProxyConfig
	tls    atomic.Pointer[tls.Config]
	rights atomic.Pointer[map[string]rights] // by public key
	proxy  *proxy
}

// OpenServerProxy listens, until Close. The server need not run yet: without it a client's connection is closed, and the client tries
// another server.
func OpenServerProxy(ctx context.Context, c ProxyConfig, log logrus.FieldLogger) (*ServerProxy, error) {
	address, err := loopback(c.Server)
	if err != nil {
		return nil, fmt.Errorf("the server's address %w: other machines must not reach it", err)
	}
	c.Server = address
	p := &ServerProxy{config: c}
	if err := p.Reload(); err != nil {
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return nil, err
	}
	known := func(public string) (rights, bool) {
		r, ok := (*p.rights.Load())[public]
		return r, ok
	}
	p.proxy = newProxy(remoteName, l, remoteHandshake(&p.tls, known), remoteLimits, p.dial, log)
	p.proxy.serve()
	return p, nil
}

func (p *ServerProxy) dial() (net.Conn, error) {
	c, err := (&net.Dialer{Timeout: handshakeTimeout}).Dial("tcp", p.config.Server)
	if err != nil {
		return nil, fmt.Errorf("the NATS server behind this proxy: %w", err)
	}
	return c, nil
}

// Addr returns the address on which p listens.
func (p *ServerProxy) Addr() net.Addr { return p.proxy.listener.Addr() }

// Reload reads the account and the certificates again, for new connections. It is the server that closes those of a removed key, when
// it reads the account again. Of the two Reload changes the one that is without an error.
func (p *ServerProxy) Reload() error {
	config, err := readTLS(p.config.TLSCA, p.config.TLSCert, p.config.TLSKey)
	if err == nil {
		p.tls.Store(config)
	}
	keys, accountErr := readAccount(p.config.Account)
	if accountErr == nil {
		p.rights.Store(&keys)
	}
	return errors.Join(err, accountErr)
}

// Close stops listening, closes every connection and waits for their goroutines.
func (p *ServerProxy) Close() error { return p.proxy.close() }

// readAccount returns the rights of each key of an account. Its replies are below the one inbox that the key may subscribe to.
func readAccount(path string) (map[string]rights, error) {
	parsed, err := conf.ParseFile(path)
	if err != nil {
		return nil, fmt.Errorf("account of the bus: %w", err)
	}
	text, err := json.Marshal(parsed)
	if err != nil {
		return nil, fmt.Errorf("account of the bus: %s: %w", path, err)
	}
	var a struct {
		Users []accountUser `json:"users"`
	}
	if err := json.Unmarshal(text, &a); err != nil || len(a.Users) == 0 {
		return nil, fmt.Errorf("account of the bus: %s has no users as ironpost bus account prints them", path)
	}
	keys := map[string]rights{}
	for _, u := range a.Users {
		inbox, err := inboxOf(u)
		if err != nil {
			return nil, fmt.Errorf("account of the bus: %s: user %s: %w", path, u.Nkey, err)
		}
		keys[u.Nkey] = rightsOf(inbox, u.Nkey, u.Permissions.Publish.Allow)
	}
	return keys, nil
}

// inboxOf returns the prefix of reply subjects of u, with the final dot.
func inboxOf(u accountUser) (string, error) {
	var found []string
	for _, subject := range u.Permissions.Subscribe.Allow {
		if prefix, ok := strings.CutSuffix(subject, ".>"); ok && strings.HasPrefix(prefix, "_INBOX") {
			found = append(found, prefix+".")
		}
	}
	if len(found) != 1 {
		return "", errors.New("want one inbox, such as _INBOX_log-pipeline_web-1.>, among the subjects that it may subscribe to")
	}
	return found[0], nil
}
