package bus

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"strings"

	"github.com/ironpost/ironpost/event"
)

// Act answers a request of an operator to change something. by is the operator as the subject of the request says, which the bus
// proves: see OperatorToken and OperatorName. Otherwise it is a Verb.
type Act func(ctx context.Context, by string, request []byte) (any, error)

// ErrOlderDaemon is returned by Conn.Operate if the daemon does not say who the operator is, as versions before it did not.
var ErrOlderDaemon = errors.New("the daemon is of an older version than this command: restart it")

// errOlderClient is the answer to an operator whose request does not say who it is from.
var errOlderClient = errors.New("this command is of an older version than the daemon: it does not say who the operator is; use the ironpost of the daemon's version")

// ActSubject is where module on host is asked by an operator for verb. The key of an operator may publish with its own token alone.
func ActSubject(module, host, verb, operator string) string {
	return join(VerbSubject(module, host, verb), operator)
}

// actSubjects stands for all subjects of the acts of module on host.
func actSubjects(module, host string) string { return ActSubject(module, host, "*", "*") }

// OperatorToken is the operator that a request through the socket of the daemon on host comes from: the user with uid there.
func OperatorToken(uid int, host string) string { return strconv.Itoa(uid) + "@" + host }

// OperatorOf returns the operator of a subject of ActSubject, "" of any other subject.
func OperatorOf(subject string) string {
	const tokens = 6
	if parts := strings.Split(subject, "."); len(parts) == tokens && strings.HasPrefix(subject, svcRoot+".") {
		return parts[tokens-1]
	}
	return ""
}

// OperatorName returns for people on host the operator of a token: "alice (uid 1000)", of another host "uid 1000 of web-2", or the public key of
// an operator who came over the network.
func OperatorName(token, host string) string {
	uid, at, local := strings.Cut(token, "@")
	switch {
	case !local:
		return "key " + event.PrintableASCII(token, maxHeader)
	case at != host:
		return fmt.Sprintf("uid %s of %s", uid, at)
	}
	u, err := user.LookupId(uid)
	if err != nil {
		return "uid " + uid
	}
	return fmt.Sprintf("%s (uid %s)", event.PrintableASCII(u.Username, maxHeader), uid)
}

// Operate is Request of an operator to module on host for verb, which an Act answers.
func (c *Conn) Operate(ctx context.Context, module, host, verb string, req, resp any) error {
	if c.operator == "" {
		return ErrOlderDaemon
	}
	return c.Request(ctx, ActSubject(module, host, verb, c.operator), req, resp)
}
