package tail

import "context"

// Owners returns how many file identities t remembers.
func (t *Tailer) Owners() int { return len(t.owners) }

// Read returns the next lines, which are then done.
func (t *Tailer) Read(ctx context.Context, limit int) ([]Line, error) {
	lines, err := t.Next(ctx, limit)
	if len(lines) > 0 {
		t.Done(lines[0].Path)
	}
	return lines, err
}

// Glob is glob.
func Glob(pattern string) []string { return glob(pattern) }
