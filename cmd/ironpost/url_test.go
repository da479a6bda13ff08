package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nkeys" //nolint:depguard // the test needs the key of an operator elsewhere
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/bus/embedded"
	"github.com/ironpost/ironpost/event"
)

func TestRemoteDaemonByURLAndKey(t *testing.T) {
	dir := t.TempDir()
	cert, key := selfSigned(t, dir)
	seed := operatorKey(t, dir)
	address := freeAddress(t)
	b := bustest.New(t, bustest.WithConfig(func(c *embedded.Config) {
		c.Listen, c.TLSCA, c.TLSCert, c.TLSKey, c.KeysDir = address, cert, cert, key, filepath.Join(dir, "keys")
	}))
	daemon(t, b, healthOf(event.ModuleHealth{Name: bus.LogPipeline, Host: "testhost", Enabled: true}))
	publish(t, b, bus.LogPipeline, bus.Alerts, alert("1", nil))
	remote := []string{"--url", "tls://" + address, "--key", seed, "--tls-ca", cert, "--tls-cert", cert, "--tls-key", key}

	for _, args := range [][]string{{"status"}, {"alerts"}, {"actions"}} {
		r := call(t, append(args, remote...)...)
		require.Equal(t, exitOK, r.code, "%v: %s", args, r.err)
	}
	require.Contains(t, call(t, append([]string{"alerts"}, remote...)...).out, "SSH brute force")
	trail := t.TempDir()
	require.Equal(t, exitUsage, call(t, append([]string{"audit", "verify", "--path", trail}, remote...)...).code, "whose head?")
	require.Equal(t, exitOK, call(t, append([]string{"audit", "verify", "--host", "testhost", "--path", trail}, remote...)...).code)

	other := operatorKey(t, t.TempDir())
	remote[3] = other
	r := call(t, append([]string{"status", "--timeout", "1s"}, remote...)...)
	require.Equal(t, exitUnreachable, r.code)
	require.Contains(t, r.err, "operator.<host>.nk")
}

// operatorKey lets a new operator in and returns the file of its seed.
func operatorKey(t *testing.T, dir string) string {
	t.Helper()
	pair, err := nkeys.CreateUser()
	require.NoError(t, err)
	public, err := pair.PublicKey()
	require.NoError(t, err)
	seed, err := pair.Seed()
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "keys"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "keys", "operator.laptop.nk"), []byte(public), 0o600))
	path := filepath.Join(dir, "operator.seed")
	require.NoError(t, os.WriteFile(path, seed, 0o600))
	return path
}

// selfSigned returns a certificate that is its own authority, for both ends, and its key.
func selfSigned(t *testing.T, dir string) (certPath, keyPath string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return writePEM(t, filepath.Join(dir, "cert.pem"), "CERTIFICATE", der), writePEM(t, filepath.Join(dir, "key.pem"), "PRIVATE KEY", secret)
}

func writePEM(t *testing.T, path, kind string, der []byte) string {
	t.Helper()
	require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	return path
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}
