package inventory

import (
	"slices"
	"time"

	"github.com/ironpost/ironpost/internal/docker"
)

// outOfDate returns the ids that a list, asked for at asked, shows otherwise
// than they are known, and those known that it does not show.
func (c *Core) outOfDate(rows []docker.Container, asked time.Time) []string {
	var out []string
	listed := make(map[string]bool, len(rows))
	for _, row := range rows {
		listed[row.ID] = true
		r := c.records[row.ID]
		if r == nil || (r.gone.IsZero() && (!r.inspected || r.stale || r.differs(row))) {
			out = append(out, row.ID)
		}
	}
	for id, r := range c.records {
		if !listed[id] && r.gone.IsZero() && r.inspectedAt.Before(asked) {
			out = append(out, id)
		}
	}
	return out
}

func (r *record) differs(row docker.Container) bool {
	return r.now.State != row.State || r.now.Name != row.Name || !slices.Equal(endpointIDs(r.now), endpointIDs(row))
}

func endpointIDs(c docker.Container) []string {
	var out []string
	for _, e := range c.Networks {
		out = append(out, e.ID)
	}
	return out
}
