package tail

import (
	"fmt"
	"time"

	"github.com/sirupsen/logrus"
)

// unknownLoss notes that f is gone or was written anew while nothing was read: what it grew by before that is not known. Spool files
// are removed by us.
func (t *Tailer) unknownLoss(p *watchedPath, f *logFile) {
	if p.spool {
		return
	}
	t.lostUnknown(p, fmt.Sprintf("%s was removed or written anew while it was not read, found at %s: lines after its byte %d may be lost, how many is unknown",
		p.path, time.Now().UTC().Format(time.RFC3339), max(f.Offset, f.Size)))
}

// lostUnknown notes a loss of unknown size, which text tells.
func (t *Tailer) lostUnknown(p *watchedPath, text string) {
	t.lostFiles++
	t.unknown.add(text, time.Now())
	t.tellLoss(p, "lost_files_unread", 1)
	t.logFor(p).WithField("what", text).Error("log lines may be lost")
}

func (t *Tailer) tellLoss(p *watchedPath, cause string, n int64) {
	if t.cfg.OnLoss != nil && n > 0 {
		t.cfg.OnLoss(p.path, p.spool, cause, n)
	}
}

// countLost counts bytes that cannot be read any more and logs them.
func (t *Tailer) countLost(p *watchedPath, reason string, n int64) {
	t.lost[reason] += n
	p.read += n
	t.losses.Add(reason, p.path, n, time.Now())
	t.tellLoss(p, "lost_bytes_"+reason, n)
	entry := t.logFor(p).WithFields(logrus.Fields{"reason": reason, "bytes": n})
	if n > 0 {
		entry.Warn("log bytes lost")
		return
	}
	entry.Debug("log file gone")
}

func (t *Tailer) logFor(p *watchedPath) logrus.FieldLogger { return t.log.WithField("path", p.path) }
