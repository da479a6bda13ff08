package embedded

import (
	"bytes"
	"encoding/json"

	"github.com/ironpost/ironpost/bus"
)

const (
	inProcess = "IN_PROCESS" // jwt.ConnectionTypeInProcess
	overTCP   = "STANDARD"   // jwt.ConnectionTypeStandard, on servers of an external bus

	everything = ">"
	// anyQueue as a denied subject refuses queue subscriptions and leaves plain ones:
	// a member of a queue group would take messages away from the others.
	anyQueue = "> >"
)

// accounts is the part of the server's configuration that holds users and their
// permissions, in the server's configuration language, which includes JSON. It is
// given as a string because accounts made by Go calls lose JetStream when the server
// reloads.
type accounts struct {
	Accounts      map[string]account `json:"accounts"`
	SystemAccount string             `json:"system_account"`
	NoAuthUser    string             `json:"no_auth_user,omitempty"`
}

type account struct {
	JetStream string        `json:"jetstream,omitempty"`
	Users     []accountUser `json:"users,omitempty"`
}

// accountUser is one key and its permissions.
type accountUser struct {
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

// responses permits a service to answer on the reply subject of a request.
type responses struct {
	Max     int    `json:"max"`
	Expires string `json:"expires"`
}

// config returns a as the server reads it.
func (a accounts) config() (string, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false) // the server knows no \u escapes
	err := enc.Encode(a)
	return out.String(), err
}

// newAccounts returns the account that modules and operators share, and the system
// account.
func newAccounts(users []accountUser) accounts {
	return accounts{
		Accounts: map[string]account{
			bus.AccountApp:    {JetStream: "enabled", Users: users},
			bus.AccountSystem: {},
		},
		SystemAccount: bus.AccountSystem,
	}
}

// addObservers gives clients without a key an account of their own, which imports nothing, and adds the gateway that
// forwards observers' requests to the modules, and publishes there what they may see.
func (a *accounts) addObservers(k observerKeys) {
	app := a.Accounts[bus.AccountApp]
	app.Users = append(app.Users, moduleUser(k.gatewayApp.public, gatewayAppPermission(), inProcess))
	a.Accounts[bus.AccountApp] = app
	a.Accounts[bus.AccountObserver] = account{Users: []accountUser{
		observerUser(k.observer), moduleUser(k.gatewayObserver.public, gatewayObserverPermission(), inProcess),
	}}
	a.NoAuthUser = k.observer.public
}

// moduleUser returns the user with this public key and permission p, which may
// connect by one connection type.
func moduleUser(public string, p bus.Permission, connection string) accountUser {
	u := accountUser{
		Nkey: public,
		Permissions: permissions{
			Publish:   subjectPermissions(p.Publish, p.DenyPublish),
			Subscribe: subjectPermissions(p.Subscribe, p.DenySubscribe),
		},
		ConnectionTypes: []string{connection},
	}
	if p.Responses > 0 {
		u.Permissions.Responses = &responses{Max: p.Responses, Expires: p.ResponseTime.String()}
	}
	return u
}

func observerUser(k key) accountUser {
	return accountUser{
		Nkey: k.public,
		Permissions: permissions{
			Publish:   subjectPermissions(observerRequests(), nil),
			Subscribe: subjectPermissions(append(bus.ObserverSubjects(), "_INBOX.>"), []string{anyQueue}),
		},
		ConnectionTypes: []string{inProcess},
	}
}

// observerRequests returns the subjects of the micro protocol (NATS ADR-32) that
// observers may send requests to.
func observerRequests() []string {
	return []string{
		"$SRV.PING", "$SRV.PING.>",
		"$SRV.INFO", "$SRV.INFO.>",
		"$SRV.STATS", "$SRV.STATS.>",
	}
}

// subjectPermissions allows and denies exactly these subjects. The server reads an
// empty list as "no limit", so that nothing allowed is written as everything denied.
func subjectPermissions(allow, deny []string) subjects {
	if len(allow) == 0 {
		return subjects{Deny: []string{everything}}
	}
	return subjects{Allow: allow, Deny: deny}
}
