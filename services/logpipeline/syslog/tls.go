package syslog

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// handshakeTimeout bounds a TLS handshake.
const handshakeTimeout = 10 * time.Second

// errHandshake ends a connection over TLS that did not come about.
var errHandshake = errors.New("no tls connection")

// loadTLS reads the certificates and the key of c. The next connections use them. After an error the ones read before stay in use.
func (s *Server) loadTLS(c Config) error {
	if c.TLS == "" {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.Certificate, c.Key)
	if err != nil {
		return fmt.Errorf("certificate for syslog over tls: %w", err)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12} // RFC 5425 4.2, RFC 9662
	if c.ClientCA != "" {
		if cfg.ClientCAs, err = certificatesIn(c.ClientCA); err != nil {
			return err
		}
		cfg.ClientAuth = tls.VerifyClientCertIfGiven
	}
	s.tls.Store(cfg)
	return nil
}

func certificatesIn(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("certificates of senders: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("certificates of senders: %s has no certificate in the form of PEM", path)
	}
	return pool, nil
}

// handshake makes the connection o one over TLS, if it is to be one, and returns the name in the certificate of the sender, "" if it
// showed none. A certificate that is not trusted is an error.
func (s *Server) handshake(ctx context.Context, o *openConn) (name string, err error) {
	if o.transport != TLS {
		return "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	secured := tls.Server(o.Conn, s.tls.Load())
	if err := secured.HandshakeContext(ctx); err != nil {
		return "", fmt.Errorf("%w: %w", errHandshake, err)
	}
	o.secured = secured
	if shown := secured.ConnectionState().VerifiedChains; len(shown) > 0 {
		return certificateName(shown[0][0]), nil
	}
	return "", nil
}

// certificateName returns a name of the subject of c: its first DNS name or address, else its common name, else its serial number.
func certificateName(c *x509.Certificate) string {
	switch {
	case len(c.DNSNames) > 0:
		return strings.ToValidUTF8(c.DNSNames[0], "\uFFFD")
	case len(c.IPAddresses) > 0:
		return c.IPAddresses[0].String()
	case c.Subject.CommonName != "":
		return strings.ToValidUTF8(c.Subject.CommonName, "\uFFFD")
	}
	return "serial " + c.SerialNumber.Text(16)
}
