package tail_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/logpipeline/tail"
)

// The kernel holds a read of a followed file back, as a slow disk does. State and
// Stats answer from the snapshot published before it, and the line arrives after it.
func TestStateAndStatsDoNotWaitForABlockedRead(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	d.add("app.log", "")
	gate := newReadGate(t, d.path("app.log"))
	r := newRig(t, d.path("app.log"))
	r.settle()
	d.add("app.log", "first\n")
	r.want("first")
	before := r.tail.State()
	gate.hold()
	d.add("app.log", "second\n")
	read := make(chan []tail.Line, 1)
	go func() {
		lines, _ := r.tail.Read(t.Context(), 10)
		read <- lines
	}()
	select {
	case <-gate.waiting:
	case <-time.After(5 * time.Second):
		t.Fatal("the file is not read")
	}

	answered := make(chan tail.Stats, 1)
	go func() {
		assert.Equal(t, before.Paths, r.tail.State().Paths)
		answered <- r.tail.Stats()
	}()
	select {
	case st := <-answered:
		require.Equal(t, int64(1), st.Lines)
		require.Equal(t, int64(len("second\n")), st.Lag, "the lag is seen before the line is read")
	case <-time.After(5 * time.Second):
		t.Error("State or Stats waits for the read")
	}
	gate.release()
	require.Equal(t, "second", string((<-read)[0].Text))
	require.Equal(t, int64(2), r.tail.Stats().Lines)
}

// readGate makes reads of one file wait, by a fanotify permission mark. It needs root.
type readGate struct {
	t       testing.TB
	events  *os.File
	held    atomic.Bool
	once    sync.Once
	waiting chan struct{} // closed when a read waits
	open    chan struct{}
}

// newReadGate lets reads of path pass until hold is called. The kernel asks only about
// files that were opened after it.
func newReadGate(t testing.TB, path string) *readGate {
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK, unix.O_RDONLY)
	testenv.Require(t, "root", err)
	g := &readGate{t: t, events: os.NewFile(uintptr(fd), "fanotify"), waiting: make(chan struct{}), open: make(chan struct{})}
	testenv.Require(t, "root", unix.FanotifyMark(fd, unix.FAN_MARK_ADD, unix.FAN_ACCESS_PERM, unix.AT_FDCWD, path))
	done := make(chan struct{})
	go func() { defer close(done); g.answer() }()
	t.Cleanup(func() { g.release(); _ = g.events.Close(); <-done })
	return g
}

func (g *readGate) hold()    { g.held.Store(true) }
func (g *readGate) release() { g.once.Do(func() { close(g.open) }) }

// answer lets one read after the other pass, the first held one when the gate opens.
func (g *readGate) answer() {
	var event [unix.FAN_EVENT_METADATA_LEN]byte // struct fanotify_event_metadata
	for {
		if n, err := g.events.Read(event[:]); err != nil || n < len(event) {
			return
		}
		if g.held.Swap(false) {
			close(g.waiting)
			<-g.open
		}
		file := event[16:20]
		answer := binary.NativeEndian.AppendUint32(bytes.Clone(file), unix.FAN_ALLOW) // struct fanotify_response
		_, err := g.events.Write(answer)
		require.NoError(g.t, errors.Join(err, unix.Close(int(binary.NativeEndian.Uint32(file)))))
	}
}
