package tail

import (
	"bytes"
	"context"
	"slices"
)

// Owners returns how many file identities t remembers.
func (t *Tailer) Owners() int { return len(t.owners) }

// Read returns copies of the next lines, which are then done.
func (t *Tailer) Read(ctx context.Context, limit int) ([]Line, error) {
	lines, err := t.Next(ctx, limit)
	if len(lines) == 0 {
		return nil, err
	}
	out := slices.Clone(lines)
	for i := range out {
		out[i].Text = bytes.Clone(out[i].Text)
	}
	t.Done(lines)
	return out, err
}

// Glob is glob.
func Glob(pattern string) []string { return glob(pattern) }
