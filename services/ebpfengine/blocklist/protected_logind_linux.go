package blocklist

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const maxSessions = 4096

// loggedIn returns the addresses that PAM named to systemd-logind when it opened the session of a remote login (pam_systemd(8)),
// if the session's process is alive. Any user may read these files, only root writes them; so they serve where the processes of
// sshd cannot be examined, and where there is no utmp any more. A host name (UseDNS of sshd) is left out.
func loggedIn(root string) (found []netip.Addr, err error) {
	folder := filepath.Join(root, "run", "systemd", "sessions")
	names, err := readNames(folder, maxSessions)
	if err != nil {
		return nil, fmt.Errorf("sessions of logind: %w", err)
	}
	for _, name := range names {
		if strings.Contains(name, ".") { // 4.ref, a pipe that keeps session 4 open
			continue
		}
		text, err := readSmall(filepath.Join(folder, name))
		if err != nil {
			continue // it has ended
		}
		if addr, ok := parseSession(root, text); ok {
			found = append(found, addr)
		}
	}
	return found, nil
}

// parseSession returns the remote end of a session that is alive.
func parseSession(root, text string) (addr netip.Addr, ok bool) {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, found := strings.Cut(strings.TrimSpace(line), "="); found {
			values[key] = value
		}
	}
	leader, err := strconv.ParseUint(values["LEADER"], 10, 32)
	if err != nil || values["REMOTE"] != "1" {
		return addr, false
	}
	if _, gone := os.Stat(filepath.Join(root, "proc", strconv.FormatUint(leader, 10))); gone != nil {
		return addr, false
	}
	addr, err = netip.ParseAddr(values["REMOTE_HOST"])
	return addr, err == nil
}
