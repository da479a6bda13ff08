package audit

import (
	"slices"
	"time"
	"unicode/utf8"
)

const (
	// The bounds of the processes that a Joiner knows: their number, and the bytes of a path or a command line.
	maxProcesses    = 256
	maxProcessBytes = 1 << 10
	// maxProcessAge is how long a process is known: longer, its id may be that of another one.
	maxProcessAge = time.Hour
)

// Process is a program that was started, as the records of an event say.
type Process struct {
	Sender      string    `json:"sender,omitempty"`
	PID         uint64    `json:"pid"`
	Image       string    `json:"image,omitempty"`
	CommandLine string    `json:"command_line,omitempty"`
	Time        time.Time `json:"time"`
	Serial      uint64    `json:"serial"`
	// Round counts how often the system has given out the ids from the lowest again.
	Round uint64 `json:"round,omitempty"`
}

// Processes returns the programs that were started last, the oldest first. They must not be changed.
func (j *Joiner) Processes() []Process { return j.processes }

// SetProcesses makes j go on with processes that another Joiner of the source knew. It does not change them.
func (j *Joiner) SetProcesses(processes []Process) {
	j.processes = slices.Clone(processes[max(0, len(processes)-maxProcesses):])
}

// Parent returns the process pid of sender as it was when the event of g happened. ok is false if that is not known for certain: the program was
// started before the records, long ago, or after the event, or the system has given out its id again since.
func (j *Joiner) Parent(g *Group, pid uint64) (p Process, ok bool) {
	i := j.findProcess(g.Sender, pid)
	if i < 0 {
		return Process{}, false
	}
	p = j.processes[i]
	age := g.Time.Sub(p.Time)
	if age < 0 || age > maxProcessAge || p.Serial >= g.Serial || j.isReused(&p) {
		return Process{}, false
	}
	return p, true
}

// isReused reports whether the id of p may be that of another process: the ids that were given out since have passed it.
func (j *Joiner) isReused(p *Process) bool {
	newest, _ := j.newest(p.Sender)
	return newest.Round > p.Round+1 || newest.Round == p.Round+1 && newest.PID >= p.PID
}

// newest returns the process of sender with the id that was given out last.
func (j *Joiner) newest(sender string) (Process, bool) {
	for _, p := range slices.Backward(j.processes) {
		if p.Sender == sender {
			return p, true
		}
	}
	return Process{}, false
}

func (j *Joiner) findProcess(sender string, pid uint64) int {
	return slices.IndexFunc(j.processes, func(p Process) bool { return p.PID == pid && p.Sender == sender })
}

// Started notes that the event of g started a program in the process pid. The oldest are forgotten, and those of long ago.
func (j *Joiner) Started(g *Group, pid uint64, image, commandLine string) {
	p := Process{Sender: g.Sender, PID: pid, Image: cut(image), CommandLine: cut(commandLine), Time: g.Time, Serial: g.Serial}
	newest, known := j.newest(g.Sender)
	p.Round = newest.Round
	i := j.findProcess(g.Sender, pid)
	if i >= 0 && !j.isReused(&j.processes[i]) && newest.PID >= pid {
		if p.Round = j.processes[i].Round; p.Serial > j.processes[i].Serial { // the same process, with another program
			j.processes[i] = p
		}
		return
	}
	if i >= 0 {
		j.processes = slices.Delete(j.processes, i, i+1)
	}
	if known && pid < newest.PID/2 {
		p.Round++
	}
	j.processes = append(j.processes, p)
	j.processes = slices.DeleteFunc(j.processes, func(old Process) bool { return old.Sender == p.Sender && p.Time.Sub(old.Time) > maxProcessAge })
	j.processes = j.processes[max(0, len(j.processes)-maxProcesses):]
}

// cut cuts text to the bound. The result is valid UTF-8 if text is.
func cut(text string) string {
	if len(text) <= maxProcessBytes {
		return text
	}
	end := maxProcessBytes
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}
