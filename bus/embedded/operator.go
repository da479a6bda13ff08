package embedded

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os/user"
	"slices"
	"strconv"

	"github.com/ironpost/ironpost/bus"
)

// noGroup stands for a group that does not exist on this machine.
const noGroup = -1

// peer is the process at the other end of a unix socket, as the kernel recorded it when it
// connected: no later fork, exec or reuse of its pid changes it.
type peer struct {
	uid    int
	gid    int
	pid    int
	groups []int
}

// operatorPolicy permits root, this process's own user, and members of one group, primary
// or supplementary, to operate the bus.
type operatorPolicy struct {
	uid int
	gid int
}

// allows reports whether p is an operator.
func (o operatorPolicy) allows(p peer) bool {
	if p.uid == 0 || p.uid == o.uid {
		return true
	}
	return o.gid != noGroup && (p.gid == o.gid || slices.Contains(p.groups, o.gid))
}

// lookupGroup returns the number of the named group, noGroup if there is none. A
// number stands for itself.
func lookupGroup(name string) int {
	if gid, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(gid)
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return noGroup
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return noGroup
	}
	return gid
}

// writeGreeting writes g as the line that comes before NATS.
func writeGreeting(c net.Conn, g bus.Greeting) error {
	line, err := json.Marshal(g)
	if err != nil {
		return err
	}
	_, err = c.Write(append(line, '\n'))
	return err
}

// refuse writes to c why it is refused, if it still reads.
func refuse(c net.Conn, reason string) {
	_ = writeGreeting(c, bus.Greeting{Error: reason})
}

var errNotOperator = errors.New("only root, the daemon's own user and members of its group may operate the bus")

// operators is what the operators' socket needs: who is one, their keys, and the one with which the server knows them all.
type operators struct {
	policy operatorPolicy
	keys   operatorKeys
	inside key
	host   string
}

// handshake sends operators a key of their own, the host, and their token, and refuses others by their credentials.
func (o operators) handshake() handshake {
	return handshake{
		accept:   o.accept,
		sendInfo: sendInfoInClear,
		reject:   func(c net.Conn) { refuse(c, "too many connections; try again") },
	}
}

func (o operators) accept(c net.Conn) (session, error) {
	p, err := peerCredentials(c)
	if err != nil {
		refuse(c, "cannot read your credentials")
		return session{}, err
	}
	if !o.policy.allows(p) {
		refuse(c, errNotOperator.Error())
		return session{}, fmt.Errorf("uid %d pid %d: %w", p.uid, p.pid, errNotOperator)
	}
	given, err := o.keys.of(p)
	if err != nil {
		refuse(c, "cannot make a key")
		return session{}, err
	}
	token := bus.OperatorToken(p.uid, o.host)
	return session{admit: admitOperator(given, o.inside, token)}, writeGreeting(c, bus.Greeting{Seed: given.seed, Host: o.host, Operator: token})
}
