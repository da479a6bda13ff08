package testenv

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Authority is a certificate authority of one test. It signs certificates for 127.0.0.1
// that are valid for 90 days.
type Authority struct {
	// Pool has its certificate; Path is that certificate as a PEM file.
	Pool *x509.CertPool
	Path string

	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	dir  string
}

// NewAuthority makes an authority with a new key.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{t: t, key: newKey(t), dir: t.TempDir(), Pool: x509.NewCertPool()}
	template := certificate("authority", 1)
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	require.NoError(t, err)
	a.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	a.Pool.AddCert(a.cert)
	a.Path = a.write("ca.pem", "CERTIFICATE", der)
	return a
}

// Client returns a client certificate with its key.
func (a *Authority) Client() *tls.Certificate {
	a.t.Helper()
	der, key := a.sign("client", 2)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TLS returns the configuration of a client with a certificate, for TLS 1.3.
func (a *Authority) TLS() *tls.Config {
	a.t.Helper()
	return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: a.Pool, Certificates: []tls.Certificate{*a.Client()}}
}

// ClientFiles writes a client certificate and its key as PEM files and returns their paths.
func (a *Authority) ClientFiles() (certPath, keyPath string) {
	a.t.Helper()
	return a.files("client", 2)
}

// Server writes a server certificate and its key as PEM files and returns their paths.
func (a *Authority) Server() (certPath, keyPath string) {
	a.t.Helper()
	return a.files("server", 3)
}

func (a *Authority) files(name string, serial int64) (certPath, keyPath string) {
	a.t.Helper()
	der, key := a.sign(name, serial)
	pkcs, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(a.t, err)
	return a.write(name+".pem", "CERTIFICATE", der), a.write(name+".key", "PRIVATE KEY", pkcs)
}

func (a *Authority) sign(name string, serial int64) (der []byte, key *ecdsa.PrivateKey) {
	a.t.Helper()
	key = newKey(a.t)
	template := certificate(name, serial)
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	require.NoError(a.t, err)
	return der, key
}

func certificate(name string, serial int64) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 0, 90), // later than what the health warns of
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

func (a *Authority) write(name, kind string, der []byte) string {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	require.NoError(a.t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	return path
}
