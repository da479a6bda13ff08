package embedded

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"github.com/nats-io/nkeys"
)

// key is one user's nkey: the seed authenticates, the public half identifies.
type key struct {
	seed   string
	public string
}

// keyring holds keys by name. They are valid until the process ends and never written.
type keyring map[string]key

// newKeyring makes a key for each name.
func newKeyring(names []string) (keyring, error) {
	ring := make(keyring, len(names))
	for _, name := range names {
		k, err := newKey()
		if err != nil {
			return nil, fmt.Errorf("make bus key of %s: %w", name, err)
		}
		ring[name] = k
	}
	return ring, nil
}

func newKey() (key, error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return key{}, err
	}
	return keyOf(pair)
}

func keyOf(pair nkeys.KeyPair) (key, error) {
	seed, err := pair.Seed()
	if err != nil {
		return key{}, err
	}
	public, err := pair.PublicKey()
	return key{seed: string(seed), public: public}, err
}

// sign returns the signature of a nonce as clients send it.
func (k key) sign(nonce string) (string, error) {
	pair, err := nkeys.FromSeed([]byte(k.seed))
	if err != nil {
		return "", err
	}
	signature, err := pair.Sign([]byte(nonce))
	return base64.RawURLEncoding.EncodeToString(signature), err
}

// operatorKeys makes the keys of operators: one for each process, the same for all its connections until this process ends, so that a client
// library may connect again. They are made from a secret, and not kept.
type operatorKeys struct{ secret []byte }

func newOperatorKeys() (operatorKeys, error) {
	secret := make([]byte, sha256.Size)
	_, err := rand.Read(secret)
	return operatorKeys{secret: secret}, err
}

// of returns the key of a process.
func (k operatorKeys) of(p peer) (key, error) {
	mac := hmac.New(sha256.New, k.secret)
	_, _ = fmt.Fprintf(mac, "%d %d", p.uid, p.pid) // never fails
	pair, err := nkeys.FromRawSeed(nkeys.PrefixByteUser, mac.Sum(nil))
	if err != nil {
		return key{}, err
	}
	return keyOf(pair)
}

// observerKeys are the key of clients that send none, and the gateway's two, one in each
// account.
type observerKeys struct {
	observer        key
	gatewayApp      key
	gatewayObserver key
}
