package embedded

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// remoteTimeout bounds the handshake of another machine, over a slow link.
const remoteTimeout = 5 * time.Second

// remoteLimits are those of the port for other machines: a module has one or two connections,
// those of a lost link remain for up to three times pingInterval, and a host has at most eight modules; many hosts may share
// one address.
var remoteLimits = limits{total: 2048, pending: 256, fromSource: 32, perKey: 16}

// openRemoteProxy opens the port for other machines.
func (s *Server) openRemoteProxy() error {
	if s.config.Listen == "" {
		return nil
	}
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", s.config.Listen)
	if err != nil {
		return err
	}
	s.openProxy(remoteName, l, remoteHandshake(&s.tls, s.remoteRights), remoteLimits)
	return nil
}

// remoteHandshake requires TLS 1.3 and a certificate, and then a key that known knows.
func remoteHandshake(secure *atomic.Pointer[tls.Config], known func(public string) (rights, bool)) handshake {
	return handshake{
		accept: func(net.Conn) (session, error) { return session{admit: admitKeys(known)}, nil },
		sendInfo: func(ctx context.Context, c net.Conn, info server.Info) (net.Conn, error) {
			return sendInfoWithTLS(ctx, c, info, secure.Load())
		},
		reject: func(c net.Conn) { _, _ = c.Write([]byte(maxConnectionsLine)) },
	}
}

func (s *Server) remoteRights(public string) (rights, bool) {
	r, ok := s.remote.Load().rights[public]
	return r, ok
}

// sendInfoWithTLS sends info in clear, as a server that requires TLS does, and makes the handshake.
func sendInfoWithTLS(ctx context.Context, c net.Conn, info server.Info, config *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, remoteTimeout)
	defer cancel()
	_ = c.SetDeadline(time.Now().Add(remoteTimeout))
	info.TLSRequired, info.TLSVerify, info.TLSAvailable = true, true, false
	info.ClientConnectURLs, info.WSConnectURLs = nil, nil // the client has addresses; these would lead it past this listener
	info.AuthRequired, info.ClientIP = true, addressOf(c).String()
	info.MaxPayload = min(info.MaxPayload, maxPayload)
	if err := writeInfo(c, info); err != nil {
		return nil, err
	}
	secure := tls.Server(c, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return secure, nil
}

// readCertificates reads the certificates for other machines, which new connections use.
func (s *Server) readCertificates() error {
	if s.config.Listen == "" {
		return nil
	}
	config, err := readTLS(s.config.TLSCA, s.config.TLSCert, s.config.TLSKey)
	if err == nil {
		s.tls.Store(config)
	}
	return err
}

// readTLS reads these PEM files: of the authority of clients' certificates, and a server's certificate and key.
func readTLS(ca, cert, key string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("bus certificate: %w", err)
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, fmt.Errorf("bus authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("bus authority: %s holds no certificate", ca)
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{pair},
		ClientCAs:    pool,
		ClientAuth:   tls.RequireAndVerifyClientCert,
	}, nil
}

// Peers returns the addresses of other machines whose keys were accepted, sorted, each once. A block must not cut
// them off. It may be called concurrently.
func (s *Server) Peers() []netip.Addr {
	if p := s.proxyOf(remoteName); p != nil {
		return p.slots.peers()
	}
	return nil
}

// ClientsExpiring returns whose client certificates, of the connections with a key, end before a time: "door on web-1 at ...",
// sorted. It may be called concurrently.
func (s *Server) ClientsExpiring(before time.Time) []string {
	p := s.proxyOf(remoteName)
	if p == nil {
		return nil
	}
	ends, keys := p.slots.certificateEnds(), s.remote.Load()
	var out []string
	for i, user := range keys.users {
		if end, connected := ends[user.Nkey]; connected && end.Before(before) {
			out = append(out, keys.names[i]+" at "+end.UTC().Format(time.RFC3339))
		}
	}
	slices.Sort(out)
	return out
}
