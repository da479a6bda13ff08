package docker

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/event"
)

// ShortList returns names of containers as text for people, sorted and bounded, such as "db, web and 3 more".
func ShortList(names []string) string {
	const shown, longest = 8, 40
	names = slices.Sorted(slices.Values(names))
	more := len(names) - shown
	var out []string
	for _, name := range names[:min(len(names), shown)] {
		out = append(out, event.Printable(name, longest))
	}
	text := strings.Join(out, ", ")
	if more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
