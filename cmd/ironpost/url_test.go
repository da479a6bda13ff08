package main

import (
	"os"
	"path/filepath"
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
