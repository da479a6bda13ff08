package embedded

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os/user"
	"slices"
	"strconv"
)

// noGroup stands for a group that does not exist on this machine.
const noGroup = -1

// peer is who the kernel says is at the other end of a unix socket, as of its
// connect: no later fork, exec or reuse of its pid changes it.
type peer struct {
	uid    int
	gid    int
	pid    int
	groups []int
}

// operators says who may operate the bus: root, this process's own user, and
// members of one group, as primary or as supplementary group.
type operators struct {
	uid int
	gid int
}

// admits reports whether p is an operator.
func (o operators) admits(p peer) bool {
	if p.uid == 0 || p.uid == o.uid {
		return true
	}
	return o.gid != noGroup && (p.gid == o.gid || slices.Contains(p.groups, o.gid))
}

// lookupGroup returns the number of the named group, noGroup if there is none.
func lookupGroup(name string) int {
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

// welcome is the one line of JSON, ended by a newline, that a peer of the socket
// receives before the server speaks: the operators' key of this start and the
// host's name, or why it is refused.
type welcome struct {
	Seed  string `json:"seed,omitempty"`
	Host  string `json:"host,omitempty"`
	Error string `json:"error,omitempty"`
}

func (w welcome) send(c net.Conn) error {
	line, err := json.Marshal(w)
	if err != nil {
		return err
	}
	_, err = c.Write(append(line, '\n'))
	return err
}

var errStranger = errors.New("only root, the daemon's own user and members of its group may operate the bus")

// operatorGreeting asks the kernel who has come and hands the seed to operators
// only.
func operatorGreeting(who operators, seed, host string) greeting {
	return greeting{
		admit: func(c net.Conn) error { return who.greet(c, welcome{Seed: seed, Host: host}) },
		full: func(c net.Conn) {
			_ = welcome{Error: "too many connections; try again"}.send(c)
		},
	}
}

func (o operators) greet(c net.Conn, hello welcome) error {
	p, err := peerOf(c)
	if err != nil {
		_ = welcome{Error: "cannot tell who you are"}.send(c)
		return err
	}
	if !o.admits(p) {
		_ = welcome{Error: errStranger.Error()}.send(c)
		return fmt.Errorf("uid %d pid %d: %w", p.uid, p.pid, errStranger)
	}
	return hello.send(c)
}
