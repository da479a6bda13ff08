//go:build accept && linux

package e2e_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// clockFile names the file whose first eight bytes are by how many seconds the wall clock of a daemon with a movable clock is ahead.
const clockFile = "IRONPOST_TEST_CLOCK_FILE"

// movableNow replaces the first line of time.Now. The monotonic clock stays as it is, as when a machine's clock is set.
const movableNow = `	sec, nsec, mono := runtimeNow()
	if TestOffset != nil {
		sec += *TestOffset
	}
`

// movableMain is a file of package main.
const movableMain = `package main

import (
	"os"
	"syscall"
	"time"
	"unsafe"
)

var _ = func() error {
	f, err := os.Open(os.Getenv("` + clockFile + `"))
	if err != nil {
		panic(err)
	}
	memory, err := syscall.Mmap(int(f.Fd()), 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic(err)
	}
	time.TestOffset = (*int64)(unsafe.Pointer(&memory[0]))
	return f.Close()
}()
`

// buildMovable compiles the daemon and the operator's command with a wall clock that a test can set, once per test binary.
var buildMovable = sync.OnceValues(func() (string, error) {
	dir, err := build()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, "movable") // removed with it
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	root, err := exec.Command("go", "env", "GOROOT").Output() // runtime.GOROOT is empty with -trimpath
	if err != nil {
		return "", err
	}
	original := filepath.Join(strings.TrimSpace(string(root)), "src/time/time.go")
	text, err := os.ReadFile(original)
	if err != nil {
		return "", err
	}
	const first = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	patched := strings.Replace(string(text), first, "var TestOffset *int64\n\nfunc Now() Time {\n"+movableNow, 1)
	patched = strings.Replace(patched, "//go:linkname Now\n", "", 1)
	overlay := map[string]string{original: filepath.Join(dir, "time.go")}
	files := map[string]string{"time.go": patched, "clock.go": movableMain}
	for _, program := range []string{"ironpost", "ironpost-daemon"} {
		added, err := filepath.Abs(filepath.Join("../cmd", program, "movable_clock.go"))
		if err != nil {
			return "", err
		}
		overlay[added] = filepath.Join(dir, "clock.go")
	}
	list, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		return "", err
	}
	files["overlay.json"] = string(list)
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			return "", err
		}
	}
	cmd := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", dir+"/", "../cmd/ironpost", "../cmd/ironpost-daemon")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", &buildError{err: err, out: string(out)}
	}
	return dir, nil
})

type buildError struct {
	err error
	out string
}

func (e *buildError) Error() string { return "go build: " + e.err.Error() + "\n" + e.out }

// movableClock is the wall clock of an instance's programs.
type movableClock struct{ ahead *int64 } // seconds

// withMovableClock gives s programs whose wall clock a test can set.
func (s *instance) withMovableClock() movableClock {
	s.t.Helper()
	bin, err := buildMovable()
	require.NoError(s.t, err)
	s.bin = bin
	s.write("clock", string(make([]byte, 8)))
	s.t.Setenv(clockFile, s.path("clock"))
	f, err := os.OpenFile(s.path("clock"), os.O_RDWR, 0)
	require.NoError(s.t, err)
	memory, err := unix.Mmap(int(f.Fd()), 0, 8, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	require.NoError(s.t, err)
	require.NoError(s.t, f.Close())
	s.t.Cleanup(func() { require.NoError(s.t, unix.Munmap(memory)) })
	return movableClock{(*int64)(unsafe.Pointer(&memory[0]))}
}

// set sets the clock by ahead of the machine's.
func (c movableClock) set(ahead time.Duration) { *c.ahead = int64(ahead / time.Second) }

// now returns the time of the clock.
func (c movableClock) now() time.Time { return time.Now().Add(time.Duration(*c.ahead) * time.Second) }
