// Package sdnotify reports the daemon's state to systemd by the protocol of sd_notify(3):
// datagrams of KEY=VALUE lines to the socket in NOTIFY_SOCKET. Without that variable it
// does nothing.
package sdnotify

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// maxStatus is the most bytes of a status text.
const maxStatus = 256

// Notifier sends notifications. Without NOTIFY_SOCKET, and as a nil pointer, it
// sends nothing and returns no error. It is safe for concurrent use.
type Notifier struct {
	socket   string
	watchdog time.Duration
}

// New reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID through getenv.
func New(getenv func(string) string) *Notifier {
	n := &Notifier{socket: getenv("NOTIFY_SOCKET")}
	if !strings.HasPrefix(n.socket, "/") && !strings.HasPrefix(n.socket, "@") {
		return &Notifier{}
	}
	usec, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64)
	pid := getenv("WATCHDOG_PID")
	if err == nil && usec > 0 && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		n.watchdog = time.Duration(usec) * time.Microsecond
	}
	return n
}

// WatchdogInterval returns how often to call Watchdog, half of what systemd
// waits as sd_watchdog_enabled(3) advises, or 0 without a watchdog.
func (n *Notifier) WatchdogInterval() time.Duration {
	if n == nil {
		return 0
	}
	return n.watchdog / 2
}

// Ready reports that the start, or a reload, is complete.
func (n *Notifier) Ready(status string) error { return n.send("READY=1\n" + statusLine(status)) }

// Reloading reports that the configuration is being read again; Ready ends it.
func (n *Notifier) Reloading() error {
	return n.send("RELOADING=1\nMONOTONIC_USEC=" + strconv.FormatInt(monotonicMicroseconds(), 10))
}

// Stopping reports that the stop has begun.
func (n *Notifier) Stopping() error { return n.send("STOPPING=1\n" + statusLine("stopping")) }

// Watchdog reports that the daemon is alive.
func (n *Notifier) Watchdog() error { return n.send("WATCHDOG=1") }

// Status sets the one line that systemctl status shows.
func (n *Notifier) Status(status string) error { return n.send(statusLine(status)) }

// statusLine makes one assignment of text: a line end in it cannot begin another.
func statusLine(status string) string {
	status = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, status)
	return "STATUS=" + strings.ToValidUTF8(status[:min(len(status), maxStatus)], "")
}

func (n *Notifier) send(message string) error {
	if n == nil || n.socket == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	defer func() { _ = conn.Close() }() // the datagram has left or failed by then
	if err := conn.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	if _, err := conn.Write([]byte(message)); err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	return nil
}
