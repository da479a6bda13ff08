package docker

import (
	"fmt"
	"slices"

	dockerapi "github.com/ironpost/ironpost/internal/docker"
)

// maxReasons bounds Stats.Reasons.
const maxReasons = 20

// Stats are the counters and health reasons of a Source.
type Stats struct {
	Containers int    // being read now
	Lines      uint64 // returned by Next
	Truncated  uint64 // longer than allowed
	Missed     uint64 // containers removed before their log could be read
	// Reasons are sentences for the operator, sorted: which logs are not read, and why.
	Reasons []string
	// Remarks are sentences about labels: which logs are not read because of one, and which labels do not count.
	Remarks []string
}

// Stats returns the counters and reasons. Any goroutine may call it at any time.
func (s *Source) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{Lines: s.taken, Truncated: s.truncated, Missed: s.missed}
	for _, r := range s.readers {
		if r.active {
			st.Containers++
		}
		if r.reason != "" {
			st.Reasons = append(st.Reasons, fmt.Sprintf("the log of container %s is not read: %s", r.container.Name, r.reason))
		}
	}
	if s.capped {
		st.Reasons = append(st.Reasons, fmt.Sprintf("there are more than %d containers: the logs of the rest are not read", maxContainers))
	}
	if len(s.off) > 0 {
		st.Remarks = append(st.Remarks, "logs are not read because of label "+LabelLogs+"=off: "+dockerapi.ShortList(s.off))
	}
	if len(s.ignored) > 0 {
		st.Remarks = append(st.Remarks, "label "+LabelLogs+"=off of the image does not count (container.trust_image_labels): "+dockerapi.ShortList(s.ignored))
	}
	slices.Sort(st.Reasons)
	if n := len(st.Reasons) - maxReasons; n > 0 {
		st.Reasons = append(st.Reasons[:maxReasons], fmt.Sprintf("and %d more", n))
	}
	if s.unreachable != "" {
		st.Reasons = []string{"logs of containers are not read: " + s.unreachable}
	}
	return st
}
