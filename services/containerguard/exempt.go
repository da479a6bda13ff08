package containerguard

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/health"
	"github.com/ironpost/ironpost/services/containerguard/safety"
)

// maxExemptions bounds the remarks about containers that are not acted on, and about labels that do not count.
const maxExemptions = 4

// exemptions says which containers are never acted on and why, and which labels of images do not count, for the status.
func (s *Service) exemptions(all []docker.Container) []health.Reason {
	sharing := slices.DeleteFunc(slices.Clone(all), func(c docker.Container) bool { return c.NetworkOwner() == "" })
	protections := s.protections.Load()
	exempt, ignored := map[string][]string{}, map[string][]string{}
	labels := map[string]bool{safety.ProtectedLabel: true} // that decide something
	for _, p := range s.policies.Load().Enabled() {
		for _, label := range p.Match.Labels {
			key, _, _ := strings.Cut(label, "=")
			labels[key] = true
		}
	}
	for _, c := range all {
		if reason := protections.Reason(c, sharing); reason != "" {
			exempt["never acted on, "+reason] = append(exempt["never acted on, "+reason], c.Name)
		}
		for key := range labels {
			if _, has := c.ImageLabels[key]; has {
				text := "label " + event.Printable(key, maxReason) + " of the image does not count (container.trust_image_labels)"
				ignored[text] = append(ignored[text], c.Name)
			}
		}
	}
	return append(remarks(exempt), remarks(ignored)...)
}

// remarks returns a sentence about each group of containers, the largest first.
func remarks(groups map[string][]string) []health.Reason {
	bySize := slices.SortedFunc(maps.Keys(groups), func(a, b string) int {
		return cmp.Or(len(groups[b])-len(groups[a]), strings.Compare(a, b))
	})
	var out []health.Reason
	for i, text := range bySize {
		if i == maxExemptions {
			text = fmt.Sprintf("and %d more such reasons", len(bySize)-i)
			return append(out, health.Reason{Text: text})
		}
		out = append(out, health.Reason{Text: text + ": " + docker.ShortList(groups[text])})
	}
	return out
}
