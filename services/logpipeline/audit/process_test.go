package audit_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/logpipeline/audit"
)

// processes starts programs and asks for them, one event a second.
type processes struct {
	t      *testing.T
	joiner audit.Joiner
	serial uint64
}

func (p *processes) group(sender string) *audit.Group {
	p.serial++
	return &audit.Group{Sender: sender, Serial: p.serial, Time: time.Unix(int64(p.serial), 0)}
}

func (p *processes) start(sender string, pid uint64, image string) {
	p.joiner.Started(p.group(sender), pid, image, image+" -x")
}

// requireParent checks that pid is known as image, or not if that is empty.
func (p *processes) requireParent(sender string, pid uint64, image string) {
	p.t.Helper()
	got, ok := p.joiner.Parent(p.group(sender), pid)
	require.Equal(p.t, image != "", ok)
	require.Equal(p.t, image, got.Image)
}

func TestParentIsTheProgramThatWasStartedLast(t *testing.T) {
	t.Parallel()
	p := &processes{t: t}
	p.start("web1", 1000, "/bin/bash")
	p.start("web1", 1001, "/bin/ls")
	p.requireParent("web1", 1000, "/bin/bash")
	p.requireParent("web1", 999, "")
	p.requireParent("web2", 1000, "")
	p.start("web2", 1000, "/bin/evil")
	p.requireParent("web1", 1000, "/bin/bash")
	p.start("web1", 1000, "/bin/sh") // the process goes on with another program
	p.requireParent("web1", 1000, "/bin/sh")
	_, ok := p.joiner.Parent(&audit.Group{Sender: "web1", Serial: 2, Time: time.Unix(2, 0)}, 1000)
	require.False(t, ok, "an event from before the program was started")
	p.serial += 3601
	p.requireParent("web1", 1000, "")
}

// The ids begin again: what had one that was given out since is not known any more.
func TestParentIsUnknownWhenItsIDWasGivenOutAgain(t *testing.T) {
	t.Parallel()
	p := &processes{t: t}
	p.start("", 20000, "/bin/a")
	p.start("", 30000, "/bin/b")
	p.start("", 500, "/bin/c")
	p.requireParent("", 20000, "/bin/a")
	p.start("", 20100, "/bin/d")
	p.requireParent("", 20000, "")
	p.requireParent("", 30000, "/bin/b")
	p.requireParent("", 500, "/bin/c")
	p.start("", 30000, "/bin/e")
	p.requireParent("", 30000, "/bin/e")
	p.start("", 400, "/bin/f")
	p.requireParent("", 500, "/bin/c")
	p.requireParent("", 30000, "/bin/e")
	p.start("", 501, "/bin/g")
	p.requireParent("", 500, "")
}

func TestProcessesAreBounded(t *testing.T) {
	t.Parallel()
	p := &processes{t: t}
	for pid := range uint64(1000) {
		p.start("", pid+1, strings.Repeat("ü", 2000))
	}
	require.Len(t, p.joiner.Processes(), 256)
	require.LessOrEqual(t, len(p.joiner.Processes()[0].Image), 1024)
	p.requireParent("", 1, "")
	var other audit.Joiner
	other.SetProcesses(p.joiner.Processes())
	require.Equal(t, p.joiner.Processes(), other.Processes())
}
