package logpipeline

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ironpost/ironpost/internal/atomicfile"
	"github.com/ironpost/ironpost/internal/checksum"
	"github.com/ironpost/ironpost/services/logpipeline/audit"
	"github.com/ironpost/ironpost/services/logpipeline/docker"
	"github.com/ironpost/ironpost/services/logpipeline/inputstats"
	"github.com/ironpost/ironpost/services/logpipeline/journal"
	"github.com/ironpost/ironpost/services/logpipeline/kmsg"
	"github.com/ironpost/ironpost/services/logpipeline/series"
	"github.com/ironpost/ironpost/services/logpipeline/tail"
)

const (
	checkpointVersion = 2
	maxCheckpoint     = 512 << 20
	// checkpointRetry is the wait after a failure while packet records wait for a checkpoint.
	checkpointRetry = time.Second
	// readAgain is how soon after the start all input was read that had been read before a crash. The last revision of a series may
	// come again a whole deduplication window later.
	readAgain = 10 * time.Minute
)

// checkpoint is the position in every source, and the state that the input before it left. The stream held alerts of this host up to
// the sequence LastSeq, whose series are in the state. The input after the position gives again alerts that are stored
// after ResumeAfter: after a crash that is less than LastSeq until all input was read that had been read before.
type checkpoint struct {
	Version      int                `json:"version"`
	Machine      string             `json:"machine"`
	Saved        time.Time          `json:"saved"`
	Sources      positions          `json:"sources"`
	LastSeq      uint64             `json:"last_seq"`
	ResumeAfter  *uint64            `json:"resume_after,omitempty"` // nil: LastSeq, in checkpoints of earlier versions
	Windows      []series.Window    `json:"windows,omitempty"`      // of earlier versions
	Series       []series.Series    `json:"series,omitempty"`
	Correlations json.RawMessage    `json:"correlations"`
	Rows         *uint64            `json:"rows,omitempty"`   // position in the queue of log rows; nil: never used
	Inputs       []inputstats.Saved `json:"inputs,omitempty"` // what was counted up to the positions
	Zones        *savedZones        `json:"zones,omitempty"`
}

// positions is up to where the input of each source is acknowledged: it was sequenced, and its alerts are stored.
type positions struct {
	Files      tail.State     `json:"files"` // by path, also of the sequences of the spool
	Containers *docker.State  `json:"containers,omitempty"`
	Journal    *journal.State `json:"journal,omitempty"`
	Kernel     *kmsg.State    `json:"kernel,omitempty"`
	Packets    []span         `json:"packets"`
	// Audit is the records before the positions of audit events that are not finished, by source.
	Audit map[string][]audit.Group `json:"audit,omitempty"`
	// Processes is the programs that finished audit events before the positions started, by source.
	Processes map[string][]audit.Process `json:"processes,omitempty"`
}

// positionsV1 is what version 1 had for positions.
type positionsV1 struct {
	Tail    tail.State    `json:"tail"`
	Docker  *docker.State `json:"docker"`
	Packets []span        `json:"packets"`
}

func (c *checkpoint) resumeAfter() uint64 {
	if c.ResumeAfter == nil {
		return c.LastSeq
	}
	return *c.ResumeAfter
}

// checkpointFile is the file of a checkpoint.
type checkpointFile struct {
	path    string
	machine string
}

// load reads the checkpoint, nil if there is none. One that is damaged, of another machine or of another
// version is renamed, and reason says so. The error is for a file that can be neither read nor renamed.
func (f checkpointFile) load() (saved *checkpoint, reason string, err error) {
	data, err := readCapped(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("read checkpoint: %w", err)
	}
	saved, bad := f.decode(data)
	if bad == nil {
		return saved, "", nil
	}
	aside := fmt.Sprintf("%s.bad-%s", f.path, time.Now().UTC().Format("20060102T150405"))
	if err := os.Rename(f.path, aside); err != nil {
		return nil, "", fmt.Errorf("checkpoint is %w, and cannot be renamed: %w", bad, err)
	}
	return nil, fmt.Sprintf("checkpoint was %v: moved to %s, watched files are read from their current ends", bad, aside), nil
}

func (f checkpointFile) decode(data []byte) (*checkpoint, error) {
	if _, err := checksum.Check(data); err != nil { // earlier versions wrote none
		return nil, fmt.Errorf("damaged: %w", err)
	}
	c, err := decodeCheckpoint(data)
	if err != nil {
		return nil, fmt.Errorf("damaged: %w", err)
	}
	switch c.Version {
	case checkpointVersion:
	case 1:
		var old positionsV1
		if err := json.Unmarshal(data, &old); err != nil {
			return nil, fmt.Errorf("damaged: %w", err)
		}
		c.Sources = positions{Files: old.Tail, Containers: old.Docker, Packets: old.Packets}
	default:
		return nil, fmt.Errorf("of version %d, not %d", c.Version, checkpointVersion)
	}
	if c.Machine != f.machine {
		return nil, errors.New("of another machine")
	}
	return &c, nil
}

// The list of the series in a checkpoint: each has a line of its own.
const (
	seriesBegin = ",\"series\":[\n"
	seriesComma = ",\n"
	seriesEnd   = "\n]"
)

// decodeCheckpoint decodes data, and the series in it on all processors: an attack from many sources leaves tens of thousands.
func decodeCheckpoint(data []byte) (c checkpoint, err error) {
	head, rest, found := bytes.Cut(data, []byte(seriesBegin))
	list, end, inLines := bytes.Cut(rest, []byte(seriesEnd))
	if !found || !inLines { // there are none, or an earlier version wrote them
		err := json.Unmarshal(data, &c)
		return c, err
	}
	if err := json.Unmarshal(slices.Concat(head, end), &c); err != nil {
		return c, err
	}
	lines := bytes.Split(list, []byte(seriesComma))
	c.Series = make([]series.Series, len(lines))
	var g errgroup.Group
	share := len(lines)/runtime.GOMAXPROCS(0) + 1
	for begin := 0; begin < len(lines); begin += share {
		g.Go(func() error {
			for i := begin; i < min(begin+share, len(lines)); i++ {
				if err := json.Unmarshal(lines[i], &c.Series[i]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return c, g.Wait()
}

// save writes c so that the old or the new one is there after a crash at any moment.
func (f checkpointFile) save(c checkpoint) error {
	c.Version, c.Machine, c.Saved = checkpointVersion, f.machine, time.Now().UTC()
	if err := atomicfile.WriteFrom(f.path, 0o600, c.writeTo); err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	return nil
}

// writeTo writes c with its checksum, the series one by one: there are up to 48 MB of them, and a copy or two of that in memory for a
// moment may be too much.
func (c checkpoint) writeTo(file io.Writer) error {
	list := c.Series
	c.Series = nil
	buffered := bufio.NewWriterSize(file, 64<<10)
	out := checksum.NewWriter(buffered)
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // it makes hostile texts six times as long
	written := 0
	write := func(before string, v any) error {
		text.Reset()
		text.WriteString(before)
		if err := encoder.Encode(v); err != nil {
			return err
		}
		part := bytes.TrimSuffix(text.Bytes(), []byte("\n"))
		if before == "" {
			part = bytes.TrimSuffix(part, []byte("}"))
		}
		if written += len(part); written > maxCheckpoint {
			return fmt.Errorf("it is larger than %d bytes", maxCheckpoint)
		}
		_, err := out.Write(part)
		return err
	}
	err := write("", c)
	before := seriesBegin
	for i := 0; err == nil && i < len(list); i++ {
		err = write(before, &list[i])
		before = seriesComma
	}
	if err == nil && len(list) > 0 {
		_, err = out.Write([]byte(seriesEnd))
	}
	return errors.Join(err, out.Close(), buffered.Flush())
}

// readCapped reads a file of at most maxCheckpoint bytes.
func readCapped(path string) ([]byte, error) {
	file, err := openNoFollow(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // only read
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	var data bytes.Buffer
	data.Grow(int(min(info.Size(), maxCheckpoint)) + bytes.MinRead)
	if _, err = data.ReadFrom(io.LimitReader(file, maxCheckpoint+1)); err == nil && data.Len() > maxCheckpoint {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxCheckpoint)
	}
	return data.Bytes(), err
}

// commitState is what the pipeline processed and has not yet made safe. A line is safe when a checkpoint is
// behind it. A packet record is acknowledged when its alerts are stored and, if a rule matched it, when a
// checkpoint holds what it left in counts and series: unlike a line it could not be read again.
type commitState struct {
	file             checkpointFile
	written          time.Time // when the last checkpoint was begun, or failed
	failed           bool      // the last attempt failed
	dirty            bool      // something was processed since
	unacked          []*delivery
	checkpointNeeded bool // before unacked may be acknowledged
	processed        processedSet
	rowsAt           *uint64 // Rows of the last checkpoint
	saving           *saving // nil if none is being written
	toSave           chan checkpoint
	saved            chan error
}

// saving is a checkpoint that is being written, and what it makes safe.
type saving struct {
	files       tail.State
	resumeAfter uint64
	rowsAt      *uint64
	unacked     []*delivery
}

// run writes checkpoints until toSave is closed; wake is called after each. Encoding and writing many series takes a while, in which
// the pipeline goes on.
func (c *commitState) run(wake func()) error {
	for next := range c.toSave {
		c.saved <- c.file.save(next)
		wake()
	}
	return nil
}

// untilDue returns how long after the last checkpoint the next one is written.
func (c *commitState) untilDue(interval time.Duration) time.Duration {
	switch {
	case !c.checkpointNeeded:
		return interval
	case c.failed:
		return min(interval, checkpointRetry)
	}
	return 0
}

// commit begins a checkpoint if one is due, and acknowledges the packet records that are safe. While they
// wait no others arrive, because their handler waits.
func (p *pipeline) commit() {
	c := &p.commits
	if c.saving != nil {
		select {
		case err := <-c.saved:
			p.endCheckpoint(err)
		default:
		}
	}
	if c.saving == nil && c.dirty && time.Since(c.written) >= c.untilDue(p.cfg.checkpointInterval()) {
		p.beginCheckpoint()
	}
	if !c.checkpointNeeded {
		respond(c.unacked, nil)
		c.unacked = nil
	}
}

// waitCheckpoint waits for the checkpoint that is being written, if there is one.
func (p *pipeline) waitCheckpoint() {
	if p.commits.saving != nil {
		p.endCheckpoint(<-p.commits.saved)
	}
}

// beginCheckpoint takes a snapshot of the state after all input whose alerts are stored, and has it written.
func (p *pipeline) beginCheckpoint() {
	c := &p.commits
	c.written = time.Now()
	s := &saving{files: p.sources.tailer.State(), resumeAfter: p.pub.ResumePoint(p.cfg.DedupWindow() + readAgain)}
	counts, err := p.matcher.correlations.Snapshot()
	if err != nil {
		err = fmt.Errorf("correlation counts: %w", err)
	} else {
		s.rowsAt, err = p.rows.sync(c.rowsAt)
	}
	if err != nil {
		p.checkpointFailed(err)
		return
	}
	c.toSave <- checkpoint{
		Sources: positions{Files: s.files, Containers: p.sources.docker.State(), Journal: p.sources.journal.State(), Kernel: p.sources.kernel.State(), Packets: slices.Clone(c.processed.spans), Audit: maps.Clone(p.joining.bySource), Processes: maps.Clone(p.joining.started)},
		LastSeq: p.pub.LastSeq(), ResumeAfter: &s.resumeAfter, Series: p.series.All(), Correlations: json.RawMessage(counts), Rows: s.rowsAt,
		Inputs: p.s.inputStats.Save(), Zones: p.s.zones.save(),
	}
	if c.checkpointNeeded {
		s.unacked, c.unacked = c.unacked, nil
	}
	c.saving, c.dirty, c.checkpointNeeded = s, false, false
}

// endCheckpoint acknowledges what the checkpoint that was written makes safe, and deletes the spool up to there. If it failed, what it
// was for waits for the next one.
func (p *pipeline) endCheckpoint(err error) {
	c := &p.commits
	s := c.saving
	c.saving = nil
	if err != nil {
		c.unacked = append(s.unacked, c.unacked...)
		c.checkpointNeeded = c.checkpointNeeded || len(s.unacked) > 0
		p.checkpointFailed(err)
		return
	}
	if c.failed {
		p.s.log.Info("checkpoint written again")
	}
	c.failed, c.rowsAt = false, s.rowsAt
	respond(s.unacked, nil)
	p.rows.commit()
	p.pub.Forget(s.resumeAfter)
	p.s.checkpoints.Add(1)
	p.s.reasons.Clear(topicCheckpointWrite)
	p.sources.syslog.DeleteConsumed(s.files)
}

// checkpointFailed has a checkpoint tried again later; the log reports it once.
func (p *pipeline) checkpointFailed(err error) {
	c := &p.commits
	p.s.checkpointErrors.Add(1)
	if !c.failed {
		p.s.log.WithError(err).Error("cannot write checkpoint, trying again")
	}
	c.failed, c.dirty, c.written = true, true, time.Now()
	p.s.reasons.Set(topicCheckpointWrite, err.Error())
}
