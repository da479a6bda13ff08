package quarantine

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/ironpost/ironpost/internal/docker"
)

// Bounds of what is read about the processes of a container; beyond them the piece says that it is cut.
const (
	maxSockets     = 16384
	maxDescriptors = 4096     // of one process
	maxExecutable  = 64 << 20 // bytes that are hashed of one file
	maxHashed      = 1 << 30  // bytes that are hashed in all
)

// tcpStates are the names of the numbers in /proc/net/tcp, from 1 on.
var tcpStates = []string{"established", "syn-sent", "syn-recv", "fin-wait-1", "fin-wait-2", "time-wait", "close", "close-wait", "last-ack", "listen", "closing", "new-syn-recv"}

// socket is one line of sockets.jsonl. PIDs are those that have it open, as the host counts.
type socket struct {
	Protocol string `json:"protocol"`
	Local    string `json:"local"`
	Remote   string `json:"remote,omitempty"`
	State    string `json:"state,omitempty"`
	Inode    uint64 `json:"inode"`
	PIDs     []int  `json:"pids,omitempty"`
}

// executable is one line of executables.jsonl. Path is as the process sees it; " (deleted)"
// at its end says that the file has no name any more.
type executable struct {
	PID    int    `json:"pid"`
	Path   string `json:"path"`
	Size   int64  `json:"size,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
	Error  string `json:"error,omitempty"`
}

// writeSockets writes the sockets of a container's network namespace and the processes
// that have them open. The container must be frozen for that to be exact.
func writeSockets(ctx context.Context, c docker.Container, pids []int, w io.Writer) error {
	ns, err := networkNamespace(c)
	shared := errors.Is(err, errNotOwnNamespace) // with the host or another container: only its own are listed
	if err != nil && !shared {
		return err
	}
	if ns != nil {
		defer func() { _ = ns.Close() }()
	}
	owners, cut := socketOwners(ctx, c, pids)
	out := json.NewEncoder(w)
	n := 0
	for _, protocol := range []string{"tcp", "tcp6", "udp", "udp6", "raw", "raw6"} {
		f, err := os.Open(fmt.Sprintf("/proc/%d/net/%s", c.PID, protocol))
		if errors.Is(err, os.ErrNotExist) {
			continue // no IPv6
		}
		if err != nil {
			return err
		}
		lines := bufio.NewScanner(f)
		for first := true; lines.Scan() && ctx.Err() == nil; first = false {
			s, ok := parseSocket(protocol, lines.Text())
			if s.PIDs = owners[s.Inode]; first || !ok || shared && s.PIDs == nil {
				continue
			}
			if n++; n > maxSockets {
				cut = fmt.Errorf("cut after %d sockets", maxSockets)
				break
			}
			if err := out.Encode(s); err != nil {
				return errors.Join(err, f.Close())
			}
		}
		if err := errors.Join(lines.Err(), f.Close(), ctx.Err()); err != nil {
			return err
		}
	}
	return cut
}

// parseSocket reads a line of /proc/net/tcp and the like.
func parseSocket(protocol, line string) (socket, bool) {
	f := strings.Fields(line)
	if len(f) < 10 {
		return socket{}, false
	}
	local, ok := parseAddress(f[1])
	remote, known := parseAddress(f[2])
	state, err := strconv.ParseUint(f[3], 16, 8)
	inode, failed := strconv.ParseUint(f[9], 10, 64)
	if !ok || !known || err != nil || failed != nil {
		return socket{}, false
	}
	s := socket{Protocol: protocol, Local: local.String(), Inode: inode}
	if remote.Port() != 0 {
		s.Remote = remote.String()
	}
	if i := int(state) - 1; strings.HasPrefix(protocol, "tcp") && i >= 0 && i < len(tcpStates) {
		s.State = tcpStates[i]
	}
	return s, true
}

// parseAddress reads an address such as 0100007F:0050: words in the byte order of the machine.
func parseAddress(text string) (netip.AddrPort, bool) {
	host, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	n, failed := strconv.ParseUint(port, 16, 16)
	if err != nil || failed != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for word := range slices.Chunk(raw, 4) {
		slices.Reverse(word) // every machine that Ironpost runs on is little-endian
	}
	addr, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), ok
}

// socketOwners returns the processes of c that have each socket open, by inode.
func socketOwners(ctx context.Context, c docker.Container, pids []int) (owners map[uint64][]int, cut error) {
	owners = map[uint64][]int{}
	for _, pid := range pids {
		if ctx.Err() != nil || !belongs(c, pid) {
			continue
		}
		dir, err := os.Open(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil {
			continue // it has ended
		}
		names, err := dir.Readdirnames(maxDescriptors)
		_ = dir.Close() // only read
		if err == nil && len(names) == maxDescriptors {
			cut = fmt.Errorf("cut after %d descriptors of process %d", maxDescriptors, pid)
		}
		for _, name := range names {
			link, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, name))
			text, found := strings.CutPrefix(link, "socket:[")
			inode, invalid := strconv.ParseUint(strings.TrimSuffix(text, "]"), 10, 64)
			if err == nil && found && invalid == nil && !slices.Contains(owners[inode], pid) {
				owners[inode] = append(owners[inode], pid)
			}
		}
	}
	return owners, cut
}

// writeExecutables writes the executable of each process and its hash. A file that
// several processes run is read once.
func writeExecutables(ctx context.Context, c docker.Container, pids []int, w io.Writer) error {
	out := json.NewEncoder(w)
	hashed := map[string]executable{}
	left := int64(maxHashed)
	var errs []error
	for _, pid := range pids {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !belongs(c, pid) {
			continue
		}
		e := hashExecutable(ctx, pid, hashed, &left)
		if e.Error != "" {
			errs = append(errs, fmt.Errorf("process %d: %s", pid, e.Error))
		}
		if err := out.Encode(e); err != nil {
			return err
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("%d executables not hashed, the first: %w", len(errs), errs[0])
	}
	return nil
}

func hashExecutable(ctx context.Context, pid int, hashed map[string]executable, left *int64) executable {
	link := fmt.Sprintf("/proc/%d/exe", pid)
	e := executable{PID: pid}
	var err error
	if e.Path, err = os.Readlink(link); err != nil {
		e.Error = err.Error()
		return e
	}
	f, err := os.Open(link) // the file that runs, even if its name is gone or means another one by now
	if err != nil {
		e.Error = err.Error()
		return e
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		e.Error = "not a regular file"
		return e
	}
	e.Size = info.Size()
	key := fmt.Sprint(inodeOf(info))
	if known, again := hashed[key]; again {
		e.SHA256, e.Error = known.SHA256, known.Error
		return e
	}
	switch limit := min(maxExecutable, *left); {
	case e.Size > limit:
		e.Error = fmt.Sprintf("has %d bytes, hashed are at most %d", e.Size, limit)
	default:
		*left -= e.Size
		sum := sha256.New()
		if _, err := io.Copy(sum, io.LimitReader(&contextReader{ctx, f}, limit)); err != nil {
			e.Error = err.Error()
			break
		}
		e.SHA256 = hex.EncodeToString(sum.Sum(nil))
	}
	hashed[key] = e
	return e
}

// contextReader reads until ctx ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (r *contextReader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(b)
}

// belongs reports whether a process is one of the container's.
func belongs(c docker.Container, pid int) bool {
	cgroup, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	return err == nil && bytes.Contains(cgroup, []byte(c.ID))
}

func inodeOf(info os.FileInfo) [2]uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return [2]uint64{uint64(st.Dev), st.Ino} //nolint:unconvert // 32 bits elsewhere
	}
	return [2]uint64{}
}
