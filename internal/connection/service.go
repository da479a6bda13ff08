package connection

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxOwnersAge is how long the sockets of programs are taken for unchanged.
const maxOwnersAge = 2 * time.Second

// services are the programs and the ports of the services that logs name.
var services = map[string]struct {
	programs []string
	ports    []uint16 // where the programs cannot be found: only root sees those of other users
}{
	"sshd": {[]string{"sshd"}, []uint16{22}},
	"webserver": {
		[]string{"nginx", "apache2", "httpd", "lighttpd", "caddy", "haproxy", "traefik", "envoy", "varnishd", "docker-proxy"},
		[]uint16{80, 443, 8080, 8443},
	},
}

// owners caches whose sockets are whose: each lookup reads all of /proc.
type owners map[string]owned

type owned struct {
	at     time.Time
	inodes map[uint32]bool
}

// firstUnprivileged is the first port that any user may listen on.
const firstUnprivileged = 1024

// servers returns the listening sockets of a service. Where no program of the service is found
// listening, those on its ports: they may be opened by another program on its behalf, such as systemd.
// Any user may listen under the name of a program on a port above, and connect from the same port to an address that is to be
// blocked: such a socket counts only if root opened it, who alone can share its port.
func (o *owners) servers(sockets []socket, service string) []socket {
	of := func(keep func(socket) bool) []socket {
		return slices.DeleteFunc(slices.Clone(sockets), func(s socket) bool {
			return !s.listening || s.uid != 0 && s.local.Port() >= firstUnprivileged || !keep(s)
		})
	}
	known, found := services[service]
	if !found {
		return nil
	}
	inodes := o.owned(service, func(process string) bool {
		path, err := os.Readlink(filepath.Join(process, "exe"))
		return err == nil && slices.Contains(known.programs, filepath.Base(strings.TrimSuffix(path, " (deleted)")))
	})
	if own := of(func(s socket) bool { return inodes[s.inode] }); len(own) > 0 {
		return own
	}
	return of(func(s socket) bool { return slices.Contains(known.ports, s.local.Port()) })
}

// owned returns the inodes of the sockets that the processes have which is selects by their folders of /proc. What it found under
// the name is taken for unchanged for a while.
func (o *owners) owned(name string, is func(process string) bool) map[uint32]bool {
	if have, known := (*o)[name]; known && time.Since(have.at) <= maxOwnersAge {
		return have.inodes
	}
	if *o == nil {
		*o = owners{}
	}
	for old, have := range *o {
		if time.Since(have.at) > maxOwnersAge {
			delete(*o, old)
		}
	}
	(*o)[name] = owned{at: time.Now(), inodes: socketsOf(is)}
	return (*o)[name].inodes
}

// socketsOf skips processes that may not be examined.
func socketsOf(is func(process string) bool) map[uint32]bool {
	out := map[uint32]bool{}
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, process := range processes {
		if !is(process) {
			continue
		}
		fds, _ := filepath.Glob(process + "/fd/*")
		for _, fd := range fds {
			target, _ := os.Readlink(fd)
			number, isSocket := strings.CutPrefix(target, "socket:[")
			inode, err := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 32)
			if isSocket && err == nil {
				out[uint32(inode)] = true
			}
		}
	}
	return out
}
