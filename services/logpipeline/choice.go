package logpipeline

import (
	"os"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/services/logpipeline/journal"
)

// syslogFiles are the watch paths that a syslog daemon writes. A journal in use has what is in them.
var syslogFiles = []string{"/var/log/syslog", "/var/log/messages", "/var/log/auth.log", "/var/log/secure", "/var/log/kern.log"}

// choice is which inputs of a host are read.
type choice struct {
	journal bool     // one is in use, and read
	paths   []string // files to follow
	kernel  bool     // the kernel's log is read from its device
}

// JournalInUse reports whether the journal is to be read and one is in use. The error is for folders that may not be read.
func (c Config) JournalInUse() (bool, error) {
	if !c.Journal() {
		return false, nil
	}
	return journal.Live(c.JournalPaths)
}

// choose returns what c reads on a host on which a journal is in use, or not.
func (c Config) choose(live bool) choice {
	out := choice{journal: live && c.Journal(), paths: c.watchedPaths()}
	out.kernel = (c.has(SourceKernel) || c.has(SourceAuto)) && !out.journal
	if out.journal && !c.has(SourceFile) {
		out.paths = slices.DeleteFunc(slices.Clone(out.paths), func(path string) bool { return slices.Contains(syslogFiles, path) })
	}
	return out
}

// replaced returns the watch paths that are not read because of the journal.
func (c Config) replaced(got choice) []string {
	return slices.DeleteFunc(slices.Clone(c.watchedPaths()), func(path string) bool { return slices.Contains(got.paths, path) })
}

// describe says what got is, of what c lets a host choose.
func (c Config) describe(got choice) string {
	var parts []string
	switch {
	case got.journal:
		parts = append(parts, "the journal")
		if left := c.replaced(got); len(left) > 0 {
			parts = append(parts, "which has what is in "+strings.Join(left, ", "))
		}
	case c.Journal():
		parts = append(parts, "no journal is in use below "+strings.Join(c.JournalPaths, ", "))
	}
	if got.kernel {
		parts = append(parts, "the kernel's log from /dev/kmsg")
	}
	return strings.Join(parts, ", ")
}

// thisMachine returns the id of this machine as journald writes it, "" if it is not known: in an image without /etc/machine-id.
func thisMachine() string {
	id, err := os.ReadFile("/etc/machine-id")
	if err != nil || len(strings.TrimSpace(string(id))) != 32 {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// chooseInputs follows a journal that has appeared, or is not in use any more.
func (p *pipeline) chooseInputs() {
	live := p.cfg.Journal() && p.sources.journal.Live()
	if live == p.sources.live || p.inFlight > 0 {
		return
	}
	p.sources.live = live
	if err := p.applyChoice(); err != nil {
		p.s.log.WithError(err).Error("cannot follow the chosen files")
		p.s.reasons.Set(topicReload, err.Error())
	}
}

// applyChoice opens and closes inputs as p.cfg and the host say.
func (p *pipeline) applyChoice() error {
	in := p.sources
	if !p.cfg.Journal() {
		in.live = false
	}
	got := p.cfg.choose(in.live)
	in.journal.SetMaxField(p.cfg.MaxLineBytes)
	in.journal.SetEnabled(p.cfg.Journal())
	in.kernel.SetEnabled(got.kernel)
	p.s.log.WithField("inputs", p.cfg.describe(got)).Info("inputs chosen")
	return in.tailer.Reload(got.paths, p.cfg.MaxLineBytes, p.cfg.MaxWatchedFiles)
}
