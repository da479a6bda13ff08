package embedded

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/ironpost/ironpost/bus"
)

// errNotAdmitted is the error of a client without a key for this listener. Client libraries know the text.
var errNotAdmitted = errors.New("authorization violation")

// rights are what a listener lets the client of a key send, beside what the server permits.
type rights struct {
	inbox   string   // prefix of reply subjects, with the final dot
	publish []string // what the server permits to publish: a request for records that are not among it is refused

	operator string          // as which it may ask for acts; empty: for none
	observer *observerClient // nil for clients with a key
}

// rightsOf returns the rights of a key, by its public half, that may publish these subjects. inbox has the final dot.
func rightsOf(inbox, public string, publish []string) rights {
	return rights{inbox: inbox, publish: publish, operator: public}
}

// admission says who may use a listener: it returns the rights of the key with which a client connects, or an error. nonce is what the
// client has signed. What it changes of connect, the server gets.
type admission func(nonce string, connect *server.ClientOpts) (rights, error)

// readConnect reads the line with which a client begins, and returns what the server will know of the client, in the
// server's own type.
func readConnect(line []byte) (server.ClientOpts, error) {
	const verb = "CONNECT "
	opts := server.ClientOpts{Echo: true, Verbose: true, Pedantic: true} // the server's defaults
	if len(line) < len(verb) || string(line[:len(verb)]) != verb {
		return opts, errors.New("protocol error: want CONNECT first")
	}
	if err := json.Unmarshal(line[len(verb):], &opts); err != nil {
		return opts, errors.New("protocol error: want CONNECT and a JSON object")
	}
	return opts, nil
}

// connectLine returns the line that the server gets: what clients may choose, without credentials other than a key. It is
// written anew, so that the server reads the key that was checked. Its protocol is the first, 0: to later ones a server of a cluster
// sends the addresses of the others, which would lead the client past the listener.
func connectLine(o server.ClientOpts) ([]byte, error) {
	kept, err := json.Marshal(server.ClientOpts{ //nolint:gosec // no credentials are kept
		Echo: o.Echo, Verbose: o.Verbose, Pedantic: o.Pedantic, Headers: o.Headers, NoResponders: o.NoResponders,
		Name: o.Name, Lang: o.Lang, Version: o.Version, Nkey: o.Nkey, Sig: o.Sig,
	})
	if err != nil {
		return nil, err
	}
	line := append(append([]byte("CONNECT "), kept...), lineEnd...)
	if len(line) > maxControlLine {
		return nil, errors.New("maximum control line exceeded")
	}
	return line, nil
}

// keyAlone reports whether a client shows nothing else than a key, or nothing.
func keyAlone(o *server.ClientOpts) bool {
	return o.Username == "" && o.Password == "" && o.Token == "" && o.JWT == "" && o.Account == "" && !o.AccountNew
}

// admitObserver admits a client that shows no credentials.
func admitObserver(client *observerClient) admission {
	return func(_ string, o *server.ClientOpts) (rights, error) {
		if o.Nkey != "" || !keyAlone(o) {
			return rights{}, errNotAdmitted
		}
		return rights{inbox: observerInbox, observer: client}, nil
	}
}

// admitKeys admits the keys that known knows, if the client has signed the nonce.
func admitKeys(known func(public string) (rights, bool)) admission {
	return func(nonce string, o *server.ClientOpts) (rights, error) {
		r, ok := known(o.Nkey)
		if !ok || !keyAlone(o) {
			return rights{}, errNotAdmitted
		}
		if err := verify(o.Nkey, nonce, o.Sig); err != nil {
			return rights{}, fmt.Errorf("%w: %w", errNotAdmitted, err)
		}
		return r, nil
	}
}

// verify checks the signature of a client as the server does.
func verify(public, nonce, signature string) error {
	sig, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil {
		sig, err = base64.StdEncoding.DecodeString(signature)
	}
	if err != nil {
		return err
	}
	key, err := nkeys.FromPublicKey(public)
	if err != nil {
		return err
	}
	return key.Verify([]byte(nonce), sig)
}

// admitOperator admits the key that the process at the other end was given, and lets its requests for acts carry the token of its user. The server
// knows all operators as one user, with inside, which is not given away.
func admitOperator(given, inside key, token string) admission {
	p := bus.Permissions(bus.Operator, "")
	r := rights{inbox: p.Inbox + ".", publish: p.Publish, operator: token}
	check := admitKeys(func(shown string) (rights, bool) { return r, shown == given.public })
	return func(nonce string, o *server.ClientOpts) (rights, error) {
		if _, err := check(nonce, o); err != nil {
			return rights{}, err
		}
		signature, err := inside.sign(nonce)
		o.Nkey, o.Sig = inside.public, signature
		return r, err
	}
}
