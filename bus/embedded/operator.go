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

// send tells c, in the one line that comes before the server speaks.
func send(c net.Conn, g bus.Greeting) error {
	line, err := json.Marshal(g)
	if err != nil {
		return err
	}
	_, err = c.Write(append(line, '\n'))
	return err
}

// turnAway tells c why it is refused. Whether it listens is its own affair.
func turnAway(c net.Conn, why string) {
	_ = send(c, bus.Greeting{Error: why})
}

var errStranger = errors.New("only root, the daemon's own user and members of its group may operate the bus")

// operatorGreeting asks the kernel who has come and hands the operators' key of
// this start to operators only.
func operatorGreeting(who operators, hello bus.Greeting) greeting {
	return greeting{
		admit: func(c net.Conn) error { return who.greet(c, hello) },
		full:  func(c net.Conn) { turnAway(c, "too many connections; try again") },
	}
}

func (o operators) greet(c net.Conn, hello bus.Greeting) error {
	p, err := peerOf(c)
	if err != nil {
		turnAway(c, "cannot tell who you are")
		return err
	}
	if !o.admits(p) {
		turnAway(c, errStranger.Error())
		return fmt.Errorf("uid %d pid %d: %w", p.uid, p.pid, errStranger)
	}
	return send(c, hello)
}
