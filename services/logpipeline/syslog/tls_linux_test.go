package syslog_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/logpipeline/syslog"
)

// authority issues certificates, whose files are in dir.
type authority struct {
	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.key = a.write("ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, Subject: pkix.Name{CommonName: "ca"}, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// issue writes NAME.pem and NAME.key for the host name.
func (a *authority) issue(name string) {
	a.write(name, &x509.Certificate{DNSNames: []string{name}, Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) write(name string, c *x509.Certificate) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		a.cert, parent, signer = c, c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	require.NoError(a.t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(a.t, err)
	for ending, block := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: private}} {
		require.NoError(a.t, os.WriteFile(a.path(name+ending), pem.EncodeToMemory(block), 0o600))
	}
	return key
}

// newTLSRig is a server over TLS that trusts the senders of ca.
func newTLSRig(t testing.TB, ca *authority) *rig {
	ca.issue("server")
	return newRig(t, func(c *syslog.Config) {
		c.UDP, c.TCP, c.TLS = "", "", "127.0.0.1:0"
		c.Certificate, c.Key, c.ClientCA = ca.path("server.pem"), ca.path("server.key"), ca.path("ca.pem")
	})
}

// record returns the next record of the spool.
func (r *rig) record() syslog.Record {
	r.t.Helper()
	lines, err := r.tail.Next(r.t.Context(), 1)
	require.NoError(r.t, err)
	rec, err := syslog.DecodeRecord(lines[0].Text)
	require.NoError(r.t, err)
	rec.Message = bytes.Clone(rec.Message)
	r.tail.Done(lines)
	return rec
}

// openssl sends text with these arguments of s_client.
func openssl(t testing.TB, addr, text string, args ...string) error {
	t.Helper()
	_, err := exec.LookPath("openssl")
	testenv.Require(t, "openssl", err)
	cmd := exec.CommandContext(t.Context(), "openssl", append([]string{"s_client", "-quiet", "-no_ign_eof", "-connect", addr}, args...)...)
	cmd.Stdin = strings.NewReader(text)
	return cmd.Run()
}

func TestOpensslSendsOverTLS(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t), newAuthority(t)
	r := newTLSRig(t, ca)
	ca.issue("web-1")
	other.issue("web-1")
	addr := r.srv.Addr(syslog.TLS).String()
	for _, version := range []string{"-tls1_3", "-tls1_2"} {
		require.NoError(t, openssl(t, addr, "7 <34>one", version, "-cert", ca.path("web-1.pem"), "-key", ca.path("web-1.key")))
		rec := r.record()
		require.Equal(t, "<34>one", string(rec.Message))
		require.Equal(t, []string{syslog.TLS, "web-1"}, []string{rec.Transport, rec.Name})
		require.NoError(t, openssl(t, addr, "<34>two\n", version))
		rec = r.record()
		require.Equal(t, "<34>two", string(rec.Message))
		require.Empty(t, rec.Name, "it showed no certificate")
	}
	_ = openssl(t, addr, "<34>three\n", "-cert", other.path("web-1.pem"), "-key", other.path("web-1.key"))
	require.Error(t, openssl(t, addr, "<34>four\n", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"))
	plain, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	send(t, plain, "<34>five\n")
	_, _ = io.ReadAll(plain) // until it is closed
	require.Eventually(t, func() bool { return r.srv.Stats().Closed[syslog.CloseHandshake] == 3 }, 10*time.Second, time.Millisecond)
	require.EqualValues(t, 4, r.srv.Stats().Received[syslog.TLS])
}

// A reload reads the certificate again; one that cannot be read leaves the old one in use.
func TestReloadReadsTheCertificateAgain(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	r := newTLSRig(t, ca)
	serial := func() string {
		c, err := tls.Dial("tcp", r.srv.Addr(syslog.TLS).String(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // its certificate is what is looked at
		require.NoError(t, err)
		defer func() { _ = c.Close() }()
		require.Equal(t, uint16(tls.VersionTLS13), c.ConnectionState().Version)
		return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	before := serial()
	ca.issue("server")
	require.Equal(t, before, serial())
	require.NoError(t, r.srv.Rebind(r.cfg))
	after := serial()
	require.NotEqual(t, before, after)
	require.NoError(t, os.WriteFile(ca.path("server.key"), []byte("no key"), 0o600))
	require.ErrorContains(t, r.srv.Rebind(r.cfg), "certificate for syslog over tls")
	require.Equal(t, after, serial())
}

// rsyslog sends over TLS with each of its drivers, and shows its certificate.
func TestRsyslogSendsOverTLS(t *testing.T) {
	t.Parallel()
	_, err := exec.LookPath("rsyslogd")
	testenv.Require(t, "rsyslogd", err)
	for _, driver := range []string{"gtls", "ossl"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			found, _ := filepath.Glob("/usr/lib/*/rsyslog/lmnsd_" + driver + ".so")
			var missing error
			if len(found) == 0 {
				missing = fmt.Errorf("rsyslog has no driver %s", driver)
			}
			testenv.Require(t, "rsyslog-"+driver, missing)
			ca := newAuthority(t)
			r := newTLSRig(t, ca)
			ca.issue("web-1")
			dir := t.TempDir()
			host, port, err := net.SplitHostPort(r.srv.Addr(syslog.TLS).String())
			require.NoError(t, err)
			in := filepath.Join(dir, "in.log")
			require.NoError(t, os.WriteFile(in, nil, 0o600))
			conf := fmt.Sprintf(`global(workDirectory=%q defaultNetstreamDriverCAFile=%q defaultNetstreamDriverCertFile=%q defaultNetstreamDriverKeyFile=%q)
module(load="imfile")
input(type="imfile" file=%q tag="app:")
action(type="omfwd" target=%q port=%q protocol="tcp" TCP_Framing="octet-counted" StreamDriver=%q StreamDriverMode="1" StreamDriverAuthMode="x509/name" StreamDriverPermittedPeers="server")
`, dir, ca.path("ca.pem"), ca.path("web-1.pem"), ca.path("web-1.key"), in, host, port, driver)
			require.NoError(t, os.WriteFile(filepath.Join(dir, "c.conf"), []byte(conf), 0o600))
			cmd := exec.Command("rsyslogd", "-n", "-f", filepath.Join(dir, "c.conf"), "-i", filepath.Join(dir, "pid"))
			require.NoError(t, cmd.Start())
			t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
			require.NoError(t, os.WriteFile(in, []byte("größer\n"), 0o600))
			rec := r.record()
			require.Contains(t, string(rec.Message), "größer")
			require.Equal(t, "web-1", rec.Name)
		})
	}
}
