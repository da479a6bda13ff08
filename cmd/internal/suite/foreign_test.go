package suite_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"                //nolint:depguard // the test is the operator of a server that is not ours
	"github.com/nats-io/nats-server/v2/server" //nolint:depguard // the test needs servers that are not ours
	"github.com/nats-io/nkeys"                 //nolint:depguard // as jwt
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
)

// foreignServer runs a NATS server with JetStream and no setting but those of set.
func foreignServer(t *testing.T, set func(*server.Options)) *server.Server {
	t.Helper()
	opts := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true}
	set(opts)
	s, err := server.NewServer(opts)
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	require.True(t, s.ReadyForConnections(patience))
	return s
}

func stock(*server.Options) {}

// foreignCluster runs three servers that have elected a leader.
func foreignCluster(t *testing.T) []*server.Server {
	t.Helper()
	var ports, routes []string
	for range 3 {
		address := testenv.FreeAddr(t)
		ports = append(ports, address[strings.LastIndexByte(address, ':')+1:])
		routes = append(routes, "nats://"+address)
	}
	var all []*server.Server
	for k, port := range ports {
		all = append(all, foreignServer(t, func(o *server.Options) {
			o.ServerName = fmt.Sprintf("server%d", k)
			o.Cluster = server.ClusterOpts{Name: "theirs", Host: "127.0.0.1"}
			_, err := fmt.Sscan(port, &o.Cluster.Port)
			require.NoError(t, err)
			o.Routes = server.RoutesFromStr(strings.Join(routes, ","))
		}))
	}
	require.Eventually(t, func() bool {
		for _, s := range all {
			if s.JetStreamIsLeader() {
				return len(s.JetStreamClusterPeers()) == len(all)
			}
		}
		return false
	}, patience, patience/1000)
	return all
}

// credentials makes a user of a server's account and writes how to show that, in the
// two forms that NATS knows: an nkey that the server has, and a signed token.
type credentials struct {
	path string
	set  func(*server.Options)
}

func nkeyFile(t *testing.T) credentials {
	t.Helper()
	user := newPair(t, nkeys.CreateUser)
	return credentials{path: secret(t, user.seed), set: func(o *server.Options) {
		o.Nkeys = []*server.NkeyUser{{Nkey: user.public}}
	}}
}

func tokenFile(t *testing.T) credentials {
	t.Helper()
	operator, user := newPair(t, nkeys.CreateOperator), newPair(t, nkeys.CreateUser)
	account, system := newPair(t, nkeys.CreateAccount), newPair(t, nkeys.CreateAccount)
	app := jwt.NewAccountClaims(account.public)
	app.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit}
	resolver := &server.MemAccResolver{}
	require.NoError(t, resolver.Store(account.public, sign(t, app, operator)))
	require.NoError(t, resolver.Store(system.public, sign(t, jwt.NewAccountClaims(system.public), operator)))
	creds, err := jwt.FormatUserConfig(sign(t, jwt.NewUserClaims(user.public), account), user.seed)
	require.NoError(t, err)
	return credentials{path: secret(t, creds), set: func(o *server.Options) {
		o.TrustedOperators = []*jwt.OperatorClaims{jwt.NewOperatorClaims(operator.public)}
		o.AccountResolver, o.SystemAccount = resolver, system.public // without one there is no JetStream
	}}
}

type pair struct {
	nkeys.KeyPair
	public string
	seed   []byte
}

func newPair(t *testing.T, create func() (nkeys.KeyPair, error)) pair {
	t.Helper()
	made, err := create()
	require.NoError(t, err)
	public, err := made.PublicKey()
	require.NoError(t, err)
	seed, err := made.Seed()
	require.NoError(t, err)
	return pair{KeyPair: made, public: public, seed: seed}
}

func sign(t *testing.T, claims jwt.Claims, by pair) string {
	t.Helper()
	token, err := claims.Encode(by)
	require.NoError(t, err)
	return token
}

func secret(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return path
}
