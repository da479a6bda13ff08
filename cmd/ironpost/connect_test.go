package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nkeys" //nolint:depguard // the test needs the key of an operator elsewhere
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/bus/embedded"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
)

func TestRemoteDaemonByURLAndKey(t *testing.T) {
	dir := t.TempDir()
	ca := testenv.NewAuthority(t)
	cert, key := ca.Server()
	mine, secret := ca.ClientFiles()
	seed := operatorKey(t, dir)
	address := testenv.FreeAddr(t)
	b := bustest.New(t, bustest.WithConfig(func(c *embedded.Config) {
		c.Listen, c.TLSCA, c.TLSCert, c.TLSKey, c.KeysDir = address, ca.Path, cert, key, filepath.Join(dir, "keys")
	}))
	daemon(t, b, healthOf(event.ModuleHealth{Name: bus.LogPipeline, Host: "testhost", Enabled: true}))
	publish(t, b, bus.LogPipeline, bus.Alerts, alert("1", nil))
	remote := []string{"--url", "tls://" + address, "--key", seed, "--tls-ca", ca.Path, "--tls-cert", mine, "--tls-key", secret}

	for _, args := range [][]string{{"status"}, {"alerts"}, {"actions"}} {
		r := call(t, append(args, remote...)...)
		require.Equal(t, exitOK, r.code, "%v: %s", args, r.err)
	}
	require.Contains(t, call(t, append([]string{"alerts"}, remote...)...).out, "SSH brute force")
	trail := t.TempDir()
	require.Equal(t, exitUsage, call(t, append([]string{"audit", "verify", "--path", trail}, remote...)...).code, "--host is needed")
	require.Equal(t, exitOK, call(t, append([]string{"audit", "verify", "--host", "testhost", "--path", trail}, remote...)...).code)

	external := filepath.Join(dir, "external.toml")
	text := fmt.Sprintf(`[general]
host = "testhost"
[bus]
mode = "external"
url = "tls://%s"
credentials_file = %q
tls_ca = %q
tls_cert = %q
tls_key = %q
`, address, seed, ca.Path, mine, secret)
	require.NoError(t, os.WriteFile(external, []byte(text), 0o600))
	require.Equal(t, exitOK, call(t, "status", "-c", external).code, "the external bus of the configuration is used")
	require.Contains(t, call(t, "alerts", "-c", external).out, "SSH brute force")
	require.Equal(t, exitOK, call(t, "audit", "verify", "-c", external, "--path", trail).code)

	other := operatorKey(t, t.TempDir())
	remote[3] = other
	r := call(t, append([]string{"status", "--timeout", "1s"}, remote...)...)
	require.Equal(t, exitUnreachable, r.code)
	require.Contains(t, r.err, "operator.<host>.nk")
	require.NoError(t, os.WriteFile(external, []byte(strings.Replace(text, seed, other, 1)), 0o600))
	r = call(t, "status", "-c", external, "--timeout", "1s")
	require.Equal(t, exitUnreachable, r.code)
	require.Contains(t, r.err, "no connection to the external bus")
}

// operatorKey makes a key pair, puts the public key into the keys folder in dir
// and returns the file of the seed.
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
