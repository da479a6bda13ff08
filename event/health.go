package event

import (
	"fmt"
	"time"
)

// Status is the health of a module or a daemon; a larger one is worse.
type Status uint8

// The statuses, best first.
const (
	Healthy Status = iota
	Degraded
	Unhealthy
)

var statusNames = [...]string{"healthy", "degraded", "unhealthy"}

// String returns the word of the JSON form.
func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return fmt.Sprintf("status(%d)", uint8(s))
}

// MarshalText encodes a known status and refuses any other.
func (s Status) MarshalText() ([]byte, error) {
	if int(s) >= len(statusNames) {
		return nil, fmt.Errorf("status %d is out of range", uint8(s))
	}
	return []byte(s.String()), nil
}

// UnmarshalText reads healthy, degraded or unhealthy.
func (s *Status) UnmarshalText(b []byte) error {
	for i, name := range statusNames {
		if string(b) == name {
			*s = Status(i)
			return nil
		}
	}
	return fmt.Errorf("status %q is none of healthy, degraded, unhealthy", b)
}

// ModuleHealth is the health of one module. Reasons say in sentences why it is not
// healthy; a module that has not started yet is degraded for the reason "starting".
// Details say the same with times; a module of an older version has none. Counters hold everything it counts, drops by reason included.
type ModuleHealth struct {
	Name     string            `json:"name"`
	Host     string            `json:"host"`
	Enabled  bool              `json:"enabled"`
	Status   Status            `json:"status"`
	Reasons  []string          `json:"reasons,omitempty"`
	Details  []Reason          `json:"details,omitempty"`
	Since    time.Time         `json:"since"`
	Counters map[string]uint64 `json:"counters,omitempty"`
}

// Reason is one reason of a module's status: how bad it makes it, since when it holds, and, where the module distinguishes them, the
// topic that it is about. One that is Healthy is a remark: it is shown and degrades nothing.
type Reason struct {
	Topic  string    `json:"topic,omitempty"`
	Status Status    `json:"status"`
	Text   string    `json:"text"`
	Since  time.Time `json:"since"`
}

// DaemonHealth is the health of one daemon: Status is the worst of its enabled
// modules. Durability says what keeps stored alerts over a power cut, if that is not the daemon's to
// decide.
type DaemonHealth struct {
	Host       string         `json:"host"`
	Time       time.Time      `json:"time"`
	Version    string         `json:"version"`
	Status     Status         `json:"status"`
	UptimeSecs uint64         `json:"uptime_secs"`
	Durability string         `json:"durability,omitempty"`
	Modules    []ModuleHealth `json:"modules"`
}

// Worst returns the worst status of the enabled modules, Healthy if none is.
func Worst(modules []ModuleHealth) Status {
	worst := Healthy
	for _, m := range modules {
		if m.Enabled && m.Status > worst {
			worst = m.Status
		}
	}
	return worst
}
