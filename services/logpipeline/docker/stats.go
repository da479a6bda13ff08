package docker

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	dockerapi "github.com/ironpost/ironpost/internal/docker"
)

// maxReasons bounds the lists in Stats.
const maxReasons = 20

// Stats are the counters and health reasons of a Source.
type Stats struct {
	Containers int      // being read now
	Names      []string // of them, sorted
	Lines      uint64   // returned by Next
	Truncated  uint64   // longer than allowed
	Missed     uint64   // containers removed before their log could be read
	Lag        int64    // bytes of lines that Docker delivered and that are not done
	// Behind holds the containers that are behind the longest, at most 20, longest first.
	Behind []ContainerStats
	// Reasons are sentences for the operator, sorted: which logs are not read, and why.
	Reasons []string
	// Remarks are sentences about labels: which logs are not read because of one, and which labels do not count.
	Remarks []string
}

// ContainerStats says how far the log of a container is behind.
type ContainerStats struct {
	Name string
	Age  time.Duration // of its oldest line that is not done, from when Docker received it
}

// Stats returns the counters and reasons. Any goroutine may call it at any time.
func (s *Source) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{Lines: s.taken, Truncated: s.truncated, Missed: s.missed}
	for _, r := range s.readers {
		if r.active {
			st.Containers++
			st.Names = append(st.Names, r.container.Name)
		}
		if oldest := r.oldest(); oldest != nil {
			st.Behind = append(st.Behind, ContainerStats{r.container.Name, time.Since(oldest.Time)})
		}
		st.Lag += int64(r.bytes)
		for _, l := range r.taken {
			st.Lag += int64(len(l.Text))
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
	slices.SortFunc(st.Behind, func(a, b ContainerStats) int { return cmp.Or(cmp.Compare(b.Age, a.Age), cmp.Compare(a.Name, b.Name)) })
	st.Behind = st.Behind[:min(len(st.Behind), maxReasons)]
	slices.Sort(st.Names)
	slices.Sort(st.Reasons)
	if n := len(st.Reasons) - maxReasons; n > 0 {
		st.Reasons = append(st.Reasons[:maxReasons], fmt.Sprintf("and %d more", n))
	}
	if s.unreachable != "" {
		st.Reasons = []string{"logs of containers are not read: " + s.unreachable}
	}
	return st
}
