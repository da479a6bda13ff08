package embedded

import (
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
	seed, err := pair.Seed()
	if err != nil {
		return key{}, err
	}
	public, err := pair.PublicKey()
	return key{seed: string(seed), public: public}, err
}

// observerKeys are the key of clients that send none, and the gateway's two, one in each
// account.
type observerKeys struct {
	observer        key
	gatewayApp      key
	gatewayObserver key
}
