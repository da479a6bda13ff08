package embedded

import (
	"bytes"
	"encoding/json"

	"github.com/ironpost/ironpost/bus"
)

const (
	inProcess = "IN_PROCESS" // jwt.ConnectionTypeInProcess
	overTCP   = "STANDARD"   // jwt.ConnectionTypeStandard

	everything = ">"
	// anyQueue, denied, refuses every queue subscription and leaves plain ones:
	// a member of a queue group takes messages away from the others.
	anyQueue = "> >"
)

// accounts is the part of the server's configuration that says who may do what,
// in the server's own configuration language, which reads JSON. It goes through
// a configuration string because accounts made by Go calls lose JetStream when
// the server reloads.
type accounts struct {
	Accounts      map[string]account `json:"accounts"`
	SystemAccount string             `json:"system_account"`
	NoAuthUser    string             `json:"no_auth_user,omitempty"`
}

type account struct {
	JetStream string  `json:"jetstream,omitempty"`
	Users     []login `json:"users,omitempty"`
	Exports   []offer `json:"exports,omitempty"`
	Imports   []take  `json:"imports,omitempty"`
}

// login is one key and what it may do.
type login struct {
	Nkey            string      `json:"nkey"`
	Permissions     permissions `json:"permissions"`
	ConnectionTypes []string    `json:"allowed_connection_types"`
}

type permissions struct {
	Publish   subjects   `json:"publish"`
	Subscribe subjects   `json:"subscribe"`
	Responses *responses `json:"allow_responses,omitempty"`
}

type subjects struct {
	Allow []string `json:"allow,omitempty"`
	Deny  []string `json:"deny,omitempty"`
}

// responses lets a service answer on whatever subject a request names.
type responses struct {
	Max     int    `json:"max"`
	Expires string `json:"expires"`
}

// offer is a stream of messages that an account gives to others.
type offer struct {
	Stream   string   `json:"stream"`
	Accounts []string `json:"accounts"`
}

// take is a stream that an account gets from another.
type take struct {
	Stream source `json:"stream"`
}

type source struct {
	Account string `json:"account"`
	Subject string `json:"subject"`
}

// config returns a as the server reads it.
func (a accounts) config() (string, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false) // the server knows no \u escapes
	err := enc.Encode(a)
	return out.String(), err
}

// newAccounts lays out the accounts: modules and operators share one.
func newAccounts(logins []login) accounts {
	return accounts{
		Accounts: map[string]account{
			bus.AccountApp:    {JetStream: "enabled", Users: logins},
			bus.AccountSystem: {},
		},
		SystemAccount: bus.AccountSystem,
	}
}

// admitObservers gives whoever shows no key an account of its own, in which
// nothing exists but the feeds of what was stored, and the gateway that puts
// observers' questions to the modules.
func (a *accounts) admitObservers(k observerKeys) {
	app := a.Accounts[bus.AccountApp]
	app.Users = append(app.Users, moduleLogin(k.inside.public, insidePermission(), inProcess))
	observer := account{Users: []login{
		observerLogin(k.anyone), moduleLogin(k.outside.public, outsidePermission(), inProcess),
	}}
	for _, feed := range bus.ObserverSubjects() {
		app.Exports = append(app.Exports, offer{Stream: feed, Accounts: []string{bus.AccountObserver}})
		observer.Imports = append(observer.Imports, take{Stream: source{Account: bus.AccountApp, Subject: feed}})
	}
	a.Accounts[bus.AccountApp] = app
	a.Accounts[bus.AccountObserver] = observer
	a.NoAuthUser = k.anyone.public
}

// moduleLogin lets the holder of a public key be module on host.
func moduleLogin(public string, p bus.Permission, connection string) login {
	l := login{
		Nkey: public,
		Permissions: permissions{
			Publish:   permit(p.Publish, p.DenyPublish),
			Subscribe: permit(p.Subscribe, p.DenySubscribe),
		},
		ConnectionTypes: []string{connection},
	}
	if p.Responses > 0 {
		l.Permissions.Responses = &responses{Max: p.Responses, Expires: p.ResponseTime.String()}
	}
	return l
}

func observerLogin(k key) login {
	return login{
		Nkey: k.public,
		Permissions: permissions{
			Publish:   permit(observerQuestions(), nil),
			Subscribe: permit(append(bus.ObserverSubjects(), "_INBOX.>"), []string{anyQueue}),
		},
		ConnectionTypes: []string{inProcess},
	}
}

// observerQuestions are the subjects of the micro protocol (NATS ADR-32).
func observerQuestions() []string {
	return []string{
		"$SRV.PING", "$SRV.PING.>",
		"$SRV.INFO", "$SRV.INFO.>",
		"$SRV.STATS", "$SRV.STATS.>",
	}
}

// permit allows and denies exactly these subjects. The server takes an empty list
// for "no limit", so nothing allowed is written as everything denied.
func permit(allow, deny []string) subjects {
	if len(allow) == 0 {
		return subjects{Deny: []string{everything}}
	}
	return subjects{Allow: allow, Deny: deny}
}
